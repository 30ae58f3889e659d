"""`python -m relay` is `relay`."""

from relay.cli.main import main

main()

"""`relay dev`: everything embedded, for one's own machine."""

import argparse

from relay.cli import server
from relay.config import dev_settings

HELP = "run with everything embedded: no key, no account, no database"
EXAMPLE = "relay dev --port 8080"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    server.address_options(parser)


def run(given: argparse.Namespace) -> int:
    """Run until Ctrl-C."""
    overrides = server.addresses(given)
    return server.start(lambda: dev_settings(**overrides), server.show_dev, drains=False)

"""The command line: `relay.cli.main` lists the commands, the other modules hold them by topic."""

"""`relay serve`: production, with settings from the environment."""

import argparse

from relay.cli import server
from relay.config import serve_settings

HELP = "run in production, with settings from the environment"
EXAMPLE = "RELAY_STORE=sqlite SUPABASE_URL=https://ref.supabase.co relay serve"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    server.address_options(parser)


def run(given: argparse.Namespace) -> int:
    """Run until SIGTERM, then drain."""
    overrides = server.addresses(given)
    return server.start(lambda: serve_settings(**overrides), server.show_serve, drains=True)

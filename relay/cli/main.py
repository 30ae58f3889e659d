"""The command line: parses the arguments and runs the command they name."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Final

from relay.cli.admin import ASSIGN, MIGRATE, TOKEN
from relay.cli.check import CHECK
from relay.cli.console import CliCommand
from relay.cli.privacy import ERASE, EXPORT, RETAIN
from relay.cli.replay import REPLAY
from relay.cli.reports import TRANSCRIPT, USAGE
from relay.cli.serve import DEV, LIVEKIT, SERVE
from relay.cli.simulate import SIMULATE
from relay.cli.talk import TALK
from relay.cli.translate import TRANSLATE

COMMANDS: Final[dict[str, CliCommand]] = {
    command.name: command
    for command in (
        *(DEV, SERVE, LIVEKIT, TALK, TRANSLATE, TOKEN, TRANSCRIPT, USAGE, ASSIGN, REPLAY),
        *(SIMULATE, CHECK, MIGRATE, RETAIN, EXPORT, ERASE),
    )
}
"""In the order in which `relay --help` lists them."""

INTERRUPTED: Final = 130
"""The exit code that shells give to a program ended by Ctrl-C: 128 plus the number of SIGINT."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits with 0, 1 (it failed) or 2 (the arguments were wrong).

    Ctrl-C and a closed pipe (`relay transcript | head`) end it without a message.
    """
    given = parser().parse_args(arguments)
    # The settings' own checks report a short secret in one line.
    warnings.filterwarnings("ignore", message="The HMAC key is")
    try:
        code = COMMANDS[given.command].run(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer would be written, and fail again, at the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def parser() -> argparse.ArgumentParser:
    """The parser of every command, each with its options and an example."""
    top = argparse.ArgumentParser(
        prog="relay", description="A voice gateway between people and a realtime voice model."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            epilog=f"example: {command.example}",
        )
        command.options(one)
    return top

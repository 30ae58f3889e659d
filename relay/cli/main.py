"""The command line: one table of commands, each a module of `relay.commands`."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from relay.cli import (
    assign,
    check,
    dev,
    erase,
    export,
    migrate,
    replay,
    retain,
    serve,
    simulate,
    talk,
    token,
    transcript,
    usage,
)

COMMANDS: Final[dict[str, ModuleType]] = {
    "dev": dev,
    "serve": serve,
    "talk": talk,
    "token": token,
    "transcript": transcript,
    "usage": usage,
    "assign": assign,
    "replay": replay,
    "simulate": simulate,
    "check": check,
    "migrate": migrate,
    "retain": retain,
    "export": export,
    "erase": erase,
}


INTERRUPTED: Final = 130
"""What a shell calls a program that Ctrl-C ended: 128 and the number of SIGINT."""


def parser() -> argparse.ArgumentParser:
    """Every command with its options and an example."""
    top = argparse.ArgumentParser(
        prog="relay", description="A voice gateway between people and a realtime voice model."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.HELP,
            description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
            epilog=f"example: {command.EXAMPLE}",
        )
        command.options(one)
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits with 0, 1 (it did not work) or 2 (it was not understood).

    Ctrl-C and a reader that has gone (`relay transcript | head`) end it without a word.
    """
    given = parser().parse_args(arguments)
    # A short secret is told in one line by whoever reads the settings.
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

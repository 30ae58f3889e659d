"""Commands as data, and the output and errors that all commands share."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar

from relay.config import SettingsError

_JOINERS: Final = "\u200c\u200d"
"""Not printable, and yet part of words (Persian) and of emoji."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CliCommand:
    """One command of `relay`.

    `help` is a phrase in lower case without a full stop, `example` a line that can be typed.
    `options` adds the command's options to its parser, `run` carries it out and returns the exit
    code.
    """

    name: str
    help: str
    example: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def fail(*problems: str, code: int = 1) -> NoReturn:
    """Print each problem on a line of its own on stderr and exit."""
    for problem in problems:
        print(f"relay: {problem}", file=sys.stderr)  # noqa: T201 - the command line prints
    raise SystemExit(code)


def say(text: str = "") -> None:
    """Print a line and flush it, so that it also gets through a pipe.

    What the terminal's encoding cannot say is replaced.
    """
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    print(text, flush=True)  # noqa: T201 - the command line prints


def plain(text: str) -> str:
    """The text on one line and without control characters: others have written it."""
    return "".join(c if c.isprintable() or c in _JOINERS else " " for c in text)


def load_or_fail(load: Callable[[], T]) -> T:
    """The settings that `load` reads; exits with a line for each problem where it cannot."""
    try:
        return load()
    except SettingsError as error:
        fail(*error.problems)

"""What the commands share: how they fail and how they say things."""

import sys
from typing import Final, NoReturn

_JOINERS: Final = "\u200c\u200d"
"""Not printable, and yet part of words (Persian) and of emoji."""


def fail(*problems: str, code: int = 1) -> NoReturn:
    """Say each problem in one line on stderr and exit."""
    for problem in problems:
        print(f"relay: {problem}", file=sys.stderr)  # noqa: T201 - the command line speaks
    raise SystemExit(code)


def say(text: str = "") -> None:
    """Print a line and see that it gets out, also through a pipe."""
    print(text, flush=True)  # noqa: T201 - the command line speaks


def plain(text: str) -> str:
    """The text on one line and without what a terminal would obey: others have written it."""
    return "".join(c if c.isprintable() or c in _JOINERS else " " for c in text)

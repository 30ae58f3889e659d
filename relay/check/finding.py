"""What one look at one part of the relay found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `relay check`: `what` was found, and how to `mend` it where it needs that.

    Neither text holds a token or a key. `part` is filled in by whoever asked for the look.
    """

    state: State
    what: str
    mend: str = ""
    part: str = ""

    def __str__(self) -> str:
        """Read as `ok   journal: in use`, or `FAIL journal: damaged (move it away)`."""
        state = "FAIL" if self.state == "fail" else self.state
        mend = f" ({self.mend})" if self.mend else ""
        return f"{state:4} {self.part}: {self.what}{mend}"


def ok(what: str, mend: str = "") -> Finding:
    """The part works; `mend` may say what could be better still."""
    return Finding("ok", what, mend)


def fail(what: str, mend: str) -> Finding:
    """The part would not work."""
    return Finding("fail", what, mend)


def skip(what: str) -> Finding:
    """There is nothing to look at, or not yet."""
    return Finding("skip", what)

"""What every store can do about people: forget what is old, tell one person all, erase them."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

Mode = Literal["delete", "redact"]
"""`delete` takes the rows of words, `redact` empties them and keeps that they were said."""


class NoSuchPerson(Exception):  # noqa: N818 - it is what somebody asked for, not a fault
    """Nobody in this store can have that id."""


class People(Protocol):
    """A store, for those who run it. Every method raises what the store does."""

    async def forget(self, days: int, mode: Mode) -> int:
        """Forget words of calls that are older; returns how many utterances it was."""

    async def export(self, user_id: str) -> Mapping[str, Any]:
        """All that is kept about one person, as JSON; raises NoSuchPerson."""

    async def erase(self, user_id: str) -> Mapping[str, int]:
        """Erase one person; returns how many rows of each kind it was. Raises NoSuchPerson."""

    async def aclose(self) -> None:
        """Let go of it."""

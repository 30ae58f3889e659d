"""Whom an engine's peer talks to during a check: it keeps every event, with its time."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relay.interfaces import Frame
from relay.realtime.dialects.beta import BETA_NAMES
from relay.realtime.events import BadEvent, Event, decode


class Deaf(Exception):  # noqa: N818 - it is what the other end did, not a fault of ours
    """What was waited for will not come; the text says what came instead.

    It never quotes a message that came before `session.created`: such a one can hold the key.
    """


@dataclass(frozen=True, slots=True)
class Heard:
    """One event and when it came, in seconds of the loop's clock."""

    event: Event
    at: float


class Ears:
    """A `Receiver` that can be waited on; use it on one event loop."""

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        self._heard: list[Heard] = []
        self._gone: tuple[int, str] | None = None
        self._something = asyncio.Event()

    def frame(self, frame: Frame) -> None:
        """Keep one event; one that cannot be read is unknown to us, too."""
        try:
            event = decode(frame)
        except BadEvent:
            event = {"type": "(not an event)"}
        if event["type"] not in BETA_NAMES:
            self.unknown[event["type"]] += 1
        self._heard.append(Heard(event, asyncio.get_running_loop().time()))
        self._something.set()

    def writable(self, ready: bool) -> None:
        """What a check says is short."""

    def closed(self, code: int, reason: str) -> None:
        """Nothing more will come."""
        self._gone = (code, reason)
        self._something.set()

    async def until(self, *kinds: str, after: int = 0) -> Heard:
        """The first event of one of these types beyond the first `after`; raises Deaf."""
        at = after
        while True:
            for heard in self._heard[at:]:
                at += 1
                if heard.event["type"] in kinds:
                    return heard
                if heard.event["type"] == "error":
                    raise Deaf(self._why(heard.event.get("error")))
            if self._gone is not None:
                raise Deaf(f"it hung up: {self._gone[0]} {self._gone[1]}".rstrip())
            self._something.clear()
            await self._something.wait()

    @property
    def count(self) -> int:
        """How many events there are so far."""
        return len(self._heard)

    def all(self, *kinds: str) -> Iterator[Heard]:
        """Every event of these types so far."""
        return (heard for heard in self._heard if heard.event["type"] in kinds)

    def _why(self, error: Any) -> str:
        fault = error if isinstance(error, dict) else {}
        code = f"{fault.get('code') or fault.get('type') or 'error'}"
        began = any(self.all("session.created"))
        return f"{code}: {fault.get('message')}" if began else code

"""One subscriber of a feed: the messages that wait to be sent, in order and bounded."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from relay.feed.messages import CaughtUpMessage, Message, final_message
from relay.realtime.endings import CLIENT_TOO_SLOW, Ending
from relay.realtime.records import Record

MAX_QUEUED: Final = 256
"""Finals that may wait for one subscriber; a lively minute has twenty."""
FINISHED: Final = Ending("finished", 1000)
"""The session ended and all of it was sent."""
_encode = msgspec.json.Encoder().encode
Key = tuple[str, int]
"""The item and content part of a partial."""


class EncodedMessage(NamedTuple):
    """A message as JSON; `cursor` is the value of `since` after it, None if it changes nothing."""

    text: str
    cursor: int | None = None


def encode(message: Message, cursor: int | None = None) -> EncodedMessage:
    """Encode a message, once for all subscribers."""
    return EncodedMessage(_encode(message).decode(), cursor)


def encode_final(record: Record) -> EncodedMessage:
    """Encode an utterance."""
    return encode(final_message(record), record.seq)


class Subscriber:
    """Queues finals up to a bound; of states and partials only the latest waits.

    `next` gives the session's state, what was said before, `caught_up`, then what follows; None
    once it was closed, and `ending` says why. A subscriber with more than `MAX_QUEUED` finals
    waiting is closed as too slow: it may come back with its cursor.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.ending: Ending | None = None
        self.has_partials = False  # whether it was given all the current partials
        self._early: list[Record] | None = []  # None: it has started, and finals come encoded
        self._queue: deque[Record | EncodedMessage] = deque()
        self._past = 0  # messages at the head of the queue that are from before its start
        self._last: EncodedMessage | None = None
        self._state: EncodedMessage | None = None
        self._partials: dict[Key, EncodedMessage] = {}
        self._wakeup = asyncio.Event()

    @property
    def has_started(self) -> bool:
        """Whether the past is known; until then finals are held back."""
        return self._early is None

    def hold(self, record: Record) -> None:
        """Hold back a final that was committed while the past is being read."""
        if self._early is None or len(self._early) >= MAX_QUEUED:
            self.close(CLIENT_TOO_SLOW)
        else:
            self._early.append(record)

    def start(self, past: Iterable[Record], top: int) -> None:
        """Queue what was said after `since` up to `top`: the `past` and what was held back."""
        newest: dict[str, Record] = {}
        for record in (*past, *(self._early or ())):
            known = newest.get(record.id)
            if self.since < record.seq <= top and (known is None or known.seq < record.seq):
                newest[record.id] = record
        cursor = max(top, self.since)
        said = sorted(newest.values(), key=lambda record: record.seq)
        self._queue.extend(said)
        self._queue.append(encode(CaughtUpMessage(seq=cursor), cursor))
        self._past = len(self._queue)
        self._early = None
        self._wakeup.set()

    def add_final(self, key: Key, final: EncodedMessage) -> None:
        """Queue a final; it replaces the partial of the same content part."""
        self._partials.pop(key, None)
        if len(self._queue) - self._past >= MAX_QUEUED:
            self.close(CLIENT_TOO_SLOW)
        else:
            self._queue.append(final)
            self._wakeup.set()

    def set_partial(self, key: Key, partial: EncodedMessage) -> None:
        """Replace the waiting partial of a content part."""
        self._partials[key] = partial
        self._wakeup.set()

    def set_state(self, state: EncodedMessage) -> None:
        """Replace the waiting state of the session."""
        self._state = state
        self._wakeup.set()

    def finish(self, ended: EncodedMessage) -> None:
        """Send everything that waits, then this, then nothing more."""
        self._partials.clear()
        self._last = ended
        self._wakeup.set()

    def close(self, ending: Ending) -> None:
        """Send nothing more and drop what waits. The first ending wins."""
        if self.ending is None:
            self.ending = ending
        self._queue.clear()
        self._partials.clear()
        self._past = 0
        self._wakeup.set()

    async def next(self) -> EncodedMessage | None:
        """Wait for the next message; None after the last one."""
        while self.ending is None:
            message = self._first()
            if message is not None:
                return message
            self._wakeup.clear()
            await self._wakeup.wait()
        return None

    def _first(self) -> EncodedMessage | None:
        """The first of what waits: the state, finals in order, partials, the end."""
        first: EncodedMessage | None = None
        if self._state is not None:
            first, self._state = self._state, None
        elif self._queue:
            first = self._first_queued()
        elif self._partials:
            first = self._partials.pop(next(iter(self._partials)))
        elif self._last is not None and self.has_started:
            first, self.ending = self._last, FINISHED
        return first

    def _first_queued(self) -> EncodedMessage:
        final = self._queue.popleft()
        self._past = max(self._past - 1, 0)
        return encode_final(final) if isinstance(final, Record) else final

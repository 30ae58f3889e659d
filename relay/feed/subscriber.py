"""One coach's end of a feed: what waits to be sent to them, in order and bounded."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from relay.feed.messages import CaughtUpMessage, Message, final_of
from relay.realtime.endings import CLIENT_TOO_SLOW, Ending
from relay.realtime.records import Record

QUEUE: Final = 256
"""Finals that may wait for one coach; a lively minute has twenty."""
FINISHED: Final = Ending("finished", 1000)
"""The session ended and all of it was shown."""
_encode = msgspec.json.Encoder().encode
Key = tuple[str, int]
"""A partial's item and content part."""


class EncodedMessage(NamedTuple):
    """One message as it travels; `cursor` is what `since` would be after it, None for no change."""

    text: str
    cursor: int | None = None


def shown(message: Message, cursor: int | None = None) -> EncodedMessage:
    """Encode a message, once for all who watch."""
    return EncodedMessage(_encode(message).decode(), cursor)


def shown_final(record: Record) -> EncodedMessage:
    """Encode an utterance."""
    return shown(final_of(record), record.seq)


class Subscriber:
    """Finals wait in a bounded queue, of states and partials the latest alone.

    `next` gives what is to be sent: the session's state, what was said before, `caught_up`, then
    what comes; None once it was closed, and `ending` says why. A coach who leaves more than
    `QUEUE` finals waiting is closed as too slow: they come back with their cursor.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.ending: Ending | None = None
        self.primed = False  # whether it was shown all the partials of the moment
        self._early: list[Record] | None = []  # None: it has begun, and finals come encoded
        self._queue: deque[Record | EncodedMessage] = deque()
        self._past = 0  # how many at the queue's head are from before it began
        self._last: EncodedMessage | None = None
        self._state: EncodedMessage | None = None
        self._partials: dict[Key, EncodedMessage] = {}
        self._news = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the past is known; until then finals are kept aside."""
        return self._early is None

    def early(self, record: Record) -> None:
        """Keep a final that came while the past is still being read."""
        if self._early is None or len(self._early) >= QUEUE:
            self.close(CLIENT_TOO_SLOW)
        else:
            self._early.append(record)

    def begin(self, past: Iterable[Record], top: int) -> None:
        """Show what was said between `since` and `top`, be it read (`past`) or come since."""
        newest: dict[str, Record] = {}
        for record in (*past, *(self._early or ())):
            known = newest.get(record.id)
            if self.since < record.seq <= top and (known is None or known.seq < record.seq):
                newest[record.id] = record
        cursor = max(top, self.since)
        said = sorted(newest.values(), key=lambda record: record.seq)
        self._queue.extend(said)
        self._queue.append(shown(CaughtUpMessage(seq=cursor), cursor))
        self._past = len(self._queue)
        self._early = None
        self._news.set()

    def final(self, key: Key, final: EncodedMessage) -> None:
        """Queue a final; the words so far of the same part are old news."""
        self._partials.pop(key, None)
        if len(self._queue) - self._past >= QUEUE:
            self.close(CLIENT_TOO_SLOW)
        else:
            self._queue.append(final)
            self._news.set()

    def partial(self, key: Key, partial: EncodedMessage) -> None:
        """Show these words so far in place of those that still wait."""
        self._partials[key] = partial
        self._news.set()

    def state(self, state: EncodedMessage) -> None:
        """Show how the session stands, in place of what still waits."""
        self._state = state
        self._news.set()

    def finish(self, ended: EncodedMessage) -> None:
        """Show all that waits, then this, then nothing more."""
        self._partials.clear()
        self._last = ended
        self._news.set()

    def close(self, ending: Ending) -> None:
        """Show nothing more; what waits is dropped. The first ending wins."""
        if self.ending is None:
            self.ending = ending
        self._queue.clear()
        self._partials.clear()
        self._past = 0
        self._news.set()

    async def next(self) -> EncodedMessage | None:
        """Wait for what is to be sent; None when nothing will come any more."""
        while self.ending is None:
            news = self._first()
            if news is not None:
                return news
            self._news.clear()
            await self._news.wait()
        return None

    def _first(self) -> EncodedMessage | None:
        """What goes first: the state, what was said in its order, partials, the end."""
        first: EncodedMessage | None = None
        if self._state is not None:
            first, self._state = self._state, None
        elif self._queue:
            first = self._said()
        elif self._partials:
            first = self._partials.pop(next(iter(self._partials)))
        elif self._last is not None and self.has_begun:
            first, self.ending = self._last, FINISHED
        return first

    def _said(self) -> EncodedMessage:
        said = self._queue.popleft()
        self._past = max(self._past - 1, 0)
        return shown_final(said) if isinstance(said, Record) else said

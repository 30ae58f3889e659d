"""All feeds of this process, found by session and fed by the journal's commits."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, NoReturn

import structlog

from relay.clock import MachineClock
from relay.feed.feed import FeedHistory, SessionFeed
from relay.feed.subscriber import Subscriber
from relay.interfaces import ConversationHistory, LiveSession
from relay.realtime.endings import AT_CAPACITY, SERVICE_RESTART, SessionRefused
from relay.realtime.records import AnyRecord, Record, newest

TICK_SECONDS: Final = 0.1
"""Between two looks at the partials of sessions with subscribers."""
TICKS_PER_STATE: Final = 10
"""The state of a session is sent once a second at most."""
FINISH_SECONDS: Final = 5.0
"""After a session's end, for its last utterances to reach the disk; then its feed is finished."""
ENDED_WITH_LOG: Final = 100
"""Ended sessions whose utterances stay in memory; those of earlier ones are read from the disk."""
ENDED_KEPT: Final = 2000
"""Ended sessions that are kept at all, about 2 KiB each."""
MAX_SUBSCRIBERS: Final = 1000
"""At once; each may hold `subscriber.MAX_QUEUED` finals and a socket's buffers."""
log = structlog.get_logger(__name__)


class FeedHub:
    """Needs `on_commit` subscribed to the journal, and `run` running. Use it on one event loop.

    Every live session has a feed, and the last `ENDED_KEPT` that have ended.
    """

    def __init__(self, history: FeedHistory, clock: MachineClock) -> None:
        self._history = history
        self._clock = clock
        self._live: dict[str, SessionFeed] = {}
        self._ended: OrderedDict[str, SessionFeed] = OrderedDict()
        self._unfinished: list[tuple[float, SessionFeed]] = []  # each with its deadline
        self._subscribed: set[SessionFeed] = set()
        self._work = asyncio.Event()
        self._closed = False
        self.subscriber_count = 0

    @contextmanager
    def track(self, session: LiveSession) -> Iterator[None]:
        """Keep a feed of this session, which ends with the context."""
        feed = self._live[session.head.session_id] = SessionFeed(session, self._history)
        try:
            yield
        finally:
            del self._live[session.head.session_id]
            self._end(feed)

    def on_commit(self, records: Sequence[AnyRecord]) -> None:
        """Send the utterances that the journal has just put on disk."""
        for record in records:
            if isinstance(record, Record):
                feed = self.find(record.head.session_id)
                if feed is not None:
                    feed.commit(record)

    def live_feeds(self) -> list[SessionFeed]:
        """The feeds of live sessions, in the order in which they began."""
        return list(self._live.values())

    def find(self, session_id: str) -> SessionFeed | None:
        """The feed of a live session, or of one that ended not long ago."""
        return self._live.get(session_id) or self._ended.get(session_id)

    async def conversation(self, conversation_id: str) -> ConversationHistory:
        """The conversation's user and all its committed utterances, in conversation order."""
        earlier = await self._history.read(conversation_id)
        feeds = (*self._live.values(), *self._ended.values())
        here = [feed for feed in feeds if feed.head.conversation_id == conversation_id]
        top = {feed.head.session_id: feed.log.top for feed in here}
        held = [record for feed in here for record in feed.log.since(0)]
        owner = here[0].head.user_id if here and earlier.owner is None else earlier.owner
        said = [
            record
            for record in (*earlier.said, *held)
            if record.seq <= top.get(record.head.session_id, record.seq)
            and record.head.user_id == owner  # the store will refuse other users' utterances
        ]
        return ConversationHistory(owner, newest(said))

    @asynccontextmanager
    async def subscribe(self, feed: SessionFeed, since: int) -> AsyncIterator[Subscriber]:
        """Subscribe to a feed from `since` on.

        Raises `SessionRefused` (AT_CAPACITY, SERVICE_RESTART), and what `FeedHistory.read` raises.
        """
        if self._closed:
            raise SessionRefused(SERVICE_RESTART)
        if self.subscriber_count >= MAX_SUBSCRIBERS:
            raise SessionRefused(AT_CAPACITY)
        self.subscriber_count += 1
        try:
            subscriber = await feed.subscribe(since)
            self._subscribed.add(feed)
            self._work.set()
            try:
                yield subscriber
            finally:
                feed.unsubscribe(subscriber)
        finally:
            self.subscriber_count -= 1
            if not feed.subscribers:
                self._subscribed.discard(feed)

    def close(self) -> None:
        """Accept no more subscribers; close those of unfinished feeds with 1012."""
        self._closed = True
        for feed in (*self._live.values(), *self._ended.values()):
            for subscriber in () if feed.is_finished else feed.subscribers:
                subscriber.close(SERVICE_RESTART)

    async def run(self) -> NoReturn:
        """Tick while any feed has subscribers or is unfinished, until cancelled."""
        count = 0
        while True:
            if not self._subscribed and not self._unfinished:
                self._work.clear()
                await self._work.wait()
            count += 1
            self.tick(with_state=count % TICKS_PER_STATE == 0)
            await asyncio.sleep(TICK_SECONDS)

    def tick(self, *, with_state: bool) -> None:
        """Tick live feeds with subscribers; finish ended ones that wait for utterances too long."""
        for feed in self._subscribed:
            if feed.is_live:
                try:
                    feed.tick(with_state=with_state)
                except Exception as error:  # noqa: BLE001 - one session's fault must not stop others
                    log.warning("session feed failed", error=type(error).__name__)
        while self._unfinished and self._unfinished[0][0] <= self._clock.monotonic():
            self._unfinished.pop(0)[1].finish()

    def _end(self, feed: SessionFeed) -> None:
        feed.end(self._clock.unix())
        if not feed.is_finished:
            self._unfinished.append((self._clock.monotonic() + FINISH_SECONDS, feed))
            self._work.set()
        self._ended[feed.head.session_id] = feed
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)
        if len(self._ended) > ENDED_WITH_LOG:
            oldest_with_log = list(self._ended.values())[-ENDED_WITH_LOG - 1]
            oldest_with_log.log.clear()

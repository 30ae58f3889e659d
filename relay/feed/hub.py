"""All feeds of this process: fed by the journal's commits, found by session."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, NoReturn

import structlog

from relay.feed.feed import FeedHistory, SessionFeed
from relay.feed.subscriber import Subscriber
from relay.interfaces import ConversationHistory, LiveSession
from relay.realtime.endings import AT_CAPACITY, SERVICE_RESTART, SessionRefused
from relay.realtime.records import AnyRecord, Record, newest

BEAT_SECONDS: Final = 0.1
"""Between two looks at the words so far, of watched sessions alone."""
BEATS_PER_STATE: Final = 10
"""How a session stands is looked at once a second."""
FINISH_SECONDS: Final = 5.0
"""How long after a session's end its last words may take to the disk before it is called over."""
ENDED_WITH_WORDS: Final = 100
"""Ended sessions whose words stay in memory; those of earlier ones are read from the disk."""
ENDED_KNOWN: Final = 2000
"""Ended sessions that are known at all, about 2 KiB each."""
WATCHERS: Final = 1000
"""Feeds open at once; each may hold `watcher.QUEUE` finals and a socket's buffers."""
log = structlog.get_logger(__name__)


class FeedHub:
    """Subscribe `committed` to the journal and keep `run` running. Of one event loop.

    Every live session has a feed, and an ended one while it is among the last `ENDED_KNOWN`.
    """

    def __init__(self, history: FeedHistory, clock: Callable[[], float]) -> None:
        self._history = history
        self._clock = clock
        self._live: dict[str, SessionFeed] = {}
        self._ended: OrderedDict[str, SessionFeed] = OrderedDict()
        self._unfinished: list[tuple[float, SessionFeed]] = []  # by when they are called over
        self._watched: set[SessionFeed] = set()
        self._work = asyncio.Event()
        self._closed = False
        self.watchers = 0

    @contextmanager
    def live(self, session: LiveSession) -> Iterator[None]:
        """Feed this session for as long as the context lasts."""
        feed = self._live[session.head.session_id] = SessionFeed(session, self._history)
        try:
            yield
        finally:
            del self._live[session.head.session_id]
            self._over(feed)

    def committed(self, records: Sequence[AnyRecord]) -> None:
        """Show what the journal has just put on disk; others' records are none of ours."""
        for record in records:
            if isinstance(record, Record):
                feed = self.find(record.head.session_id)
                if feed is not None:
                    feed.commit(record)

    def sessions(self) -> list[SessionFeed]:
        """The live ones, in the order in which they began."""
        return list(self._live.values())

    def find(self, session_id: str) -> SessionFeed | None:
        """The feed of a live session, or of one that ended not long ago."""
        return self._live.get(session_id) or self._ended.get(session_id)

    async def conversation(self, conversation_id: str) -> ConversationHistory:
        """Whose conversation it is, and all that was said in it so far, in its order.

        Not what is only on its way to the disk: only a commit makes words.
        """
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
            and record.head.user_id == owner  # a stranger's words wait here until the store refuses
        ]
        return ConversationHistory(owner, newest(said))

    @asynccontextmanager
    async def watch(self, feed: SessionFeed, since: int) -> AsyncIterator[Subscriber]:
        """Watch a feed from `since` on; raises `SessionRefused` (AT_CAPACITY, SERVICE_RESTART)."""
        if self._closed:
            raise SessionRefused(SERVICE_RESTART)
        if self.watchers >= WATCHERS:
            raise SessionRefused(AT_CAPACITY)
        self.watchers += 1
        try:
            watcher = await feed.join(since)
            self._watched.add(feed)
            self._work.set()
            try:
                yield watcher
            finally:
                feed.leave(watcher)
        finally:
            self.watchers -= 1
            if not feed.watchers:
                self._watched.discard(feed)

    def close(self) -> None:
        """Take no more watchers, and close with 1012 those whose feed has not come to its end."""
        self._closed = True
        for feed in (*self._live.values(), *self._ended.values()):
            for watcher in () if feed.is_finished else feed.watchers:
                watcher.close(SERVICE_RESTART)

    async def run(self) -> NoReturn:
        """Beat while anything is watched or unfinished; cancel it to stop."""
        count = 0
        while True:
            if not self._watched and not self._unfinished:
                self._work.clear()
                await self._work.wait()
            count += 1
            self.beat(with_state=count % BEATS_PER_STATE == 0)
            await asyncio.sleep(BEAT_SECONDS)

    def beat(self, *, with_state: bool) -> None:
        """Look at the sessions that somebody watches; call those over whose words do not come."""
        for feed in self._watched:
            if feed.is_live:
                try:
                    feed.beat(with_state=with_state)
                except Exception as error:  # noqa: BLE001 - one session's fault is no other's
                    log.warning("a session cannot be looked at", error=type(error).__name__)
        while self._unfinished and self._unfinished[0][0] <= self._clock():
            self._unfinished.pop(0)[1].finish()

    def _over(self, feed: SessionFeed) -> None:
        feed.over(self._clock())
        if not feed.is_finished:
            self._unfinished.append((self._clock() + FINISH_SECONDS, feed))
            self._work.set()
        self._ended[feed.head.session_id] = feed
        if len(self._ended) > ENDED_KNOWN:
            self._ended.popitem(last=False)
        if len(self._ended) > ENDED_WITH_WORDS:
            oldest_with_words = list(self._ended.values())[-ENDED_WITH_WORDS - 1]
            oldest_with_words.log.forget()

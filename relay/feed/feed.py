"""One session's feed: what is committed of it, how it stands, and who watches."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from relay.feed.live_session import LiveSession, over
from relay.feed.messages import EndedMessage, SessionInfo, SessionMessage, iso, partial_of
from relay.feed.subscriber import EncodedMessage, Key, Subscriber, shown, shown_final
from relay.interfaces import ConversationHistory, StoreReader, UndeliveredRecords
from relay.realtime.records import Record, newest

READ_SECONDS: Final = 3.0
"""The journal and the store must have answered by then: a coach waits for this."""
MOST_UNDELIVERED: Final = 10_000
"""Of one conversation's utterances in the journal; a session has no more items."""


class FeedHistory:
    """The committed utterances of a conversation, from the journal and the store.

    All or nothing: half a conversation would be a gap that no subscriber can see.
    """

    def __init__(self, journal: UndeliveredRecords, store: StoreReader) -> None:
        self._journal = journal
        self._store = store

    async def read(self, conversation_id: str) -> ConversationHistory:
        """The conversation's user, and all that was committed before this call.

        Raises what the journal or the store raises, and TimeoutError when they take too long.
        """
        async with asyncio.timeout(READ_SECONDS):
            # The journal first: what moves on to the store meanwhile is then found there.
            undelivered = await self._journal.of_conversation(conversation_id, MOST_UNDELIVERED)
            stored = await self._store.transcript(conversation_id)
            owner = await self._store.owner(conversation_id)
        said = newest((*stored, *undelivered))
        if owner is None and said:  # the store does not know the conversation yet
            owner = said[0].head.user_id
        return ConversationHistory(owner, said)


# ---- One session's committed utterances in memory: the newest version of each, by `seq`.

RECORDS: Final = 200
"""Most utterances of one session, 110 KiB; older ones are read from the disk."""
CHARACTERS: Final = 65_536
"""Most characters of them: one answer of a model's has some hundred, at most some ten thousand."""


class UtteranceLog:
    """Takes versions of utterances with rising `seq`; whatever is not above `floor` may be gone."""

    __slots__ = (
        "_characters",
        "_max_characters",
        "_max_records",
        "_records",
        "floor",
        "missing",
        "top",
    )

    def __init__(self, records: int = RECORDS, characters: int = CHARACTERS) -> None:
        self._max_records = records
        self._max_characters = characters
        self._records: dict[str, Record] = {}  # the order of insertion is that of `seq`
        self._characters = 0
        self.floor = 0
        self.top = 0
        self.missing = 0  # numbers that were left out: words that were lost before the disk

    def __len__(self) -> int:
        return len(self._records)

    def take(self, record: Record) -> bool:
        """Keep a record; False for a repeat, which changes nothing."""
        if record.seq <= self.top:
            return False
        corrected = self._records.pop(record.id, None)
        if corrected is not None:
            self._characters -= _size(corrected)
        self._records[record.id] = record
        self._characters += _size(record)
        self.missing += record.seq - self.top - 1
        self.top = record.seq
        while len(self) > self._max_records or self._characters > self._max_characters:
            self._forget_oldest()
        return True

    def since(self, seq: int) -> list[Record]:
        """The kept records above `seq`, in its order."""
        newer = deque[Record]()
        newer.extendleft(takewhile(lambda r: r.seq > seq, reversed(self._records.values())))
        return list(newer)

    def forget(self) -> None:
        """Keep no record; `top` stays."""
        self._records.clear()
        self._characters = 0
        self.floor = self.top

    def _forget_oldest(self) -> None:
        oldest = self._records.pop(next(iter(self._records)))
        self._characters -= _size(oldest)
        self.floor = oldest.seq


def _size(record: Record) -> int:
    return len(record.utterance.text) + len(record.utterance.heard_text)


@dataclass(slots=True)
class _Last:
    """What watchers were shown last, so that they are shown only what changed."""

    state: str = ""
    partials: dict[Key, str] = field(default_factory=dict)


class SessionFeed:
    """Made when its session begins; lives on a while after the session's end."""

    def __init__(self, call: LiveSession, history: FeedHistory) -> None:
        self.call: LiveSession = call
        self.head = call.head
        self.log = UtteranceLog()
        self.watchers: set[Subscriber] = set()
        self._history = history
        self._last = _Last()
        self._ended_at: float | None = None
        self._ended: EncodedMessage | None = None  # the last message, once it is due

    @property
    def is_live(self) -> bool:
        """Whether the session goes on."""
        return self._ended_at is None

    @property
    def is_finished(self) -> bool:
        """Whether all of an ended session was shown that ever will be."""
        return self._ended is not None

    def session(self) -> SessionInfo:
        """How the session stands now."""
        call, head = self.call, self.head
        micro = call.micro()
        answers, answer_ms = call.answers()
        return SessionInfo(
            id=head.session_id,
            conversation_id=head.conversation_id,
            user_id=head.user_id,
            agent_id=head.agent_id,
            model=head.model,
            voice=head.voice,
            door=call.door,
            engine=call.engine,
            started_at=iso(head.started_at),
            ended_at=None if self._ended_at is None else iso(self._ended_at),
            state="live" if self.is_live else "ended",
            ending=call.ending(),
            paused=call.is_paused(),
            speaker=call.speaker(),
            seq=self.log.top,
            tokens=dict(call.tokens()),
            cost_dollars=None if micro is None else micro / 1_000_000,
            answers=answers,
            answer_ms=answer_ms,
        )

    async def utterances(self, since: int) -> tuple[list[Record], int]:
        """What settled after `since`, in conversation order, and up to which `seq` that is all."""
        past = await self._read(since)
        held, top = (*past, *self.log.since(since)), self.log.top
        return newest(record for record in held if since < record.seq <= top), top

    async def join(self, since: int) -> Subscriber:
        """Watch from `since` on; mind to `leave`."""
        watcher = Subscriber(since)
        watcher.state(shown(SessionMessage(session=self.session())))
        self.watchers.add(watcher)
        try:
            past = await self._read(since)
        except BaseException:
            self.leave(watcher)
            raise
        # No word comes between reading the log and beginning: nothing here waits.
        watcher.begin((*past, *self.log.since(since)), self.log.top)
        if self._ended is not None:
            watcher.finish(self._ended)
        return watcher

    def leave(self, watcher: Subscriber) -> None:
        """Somebody watches no more."""
        self.watchers.discard(watcher)
        if not self.watchers:
            self._last = _Last()

    def commit(self, record: Record) -> None:
        """A record is on disk."""
        if self.log.take(record):
            if self.watchers:
                self._show(record)
            self._finish_when_all_is_here()

    def _show(self, record: Record) -> None:
        said = record.utterance
        final = shown_final(record)
        for watcher in self.watchers:
            if watcher.has_begun:
                watcher.final((said.item_id, said.content_index), final)
            else:
                watcher.early(record)

    def _finish_when_all_is_here(self) -> None:
        if not self.is_live and self.log.top >= self.call.settled():
            self.finish()

    def beat(self, *, with_state: bool = False) -> None:
        """Show what has changed since the last beat: words so far, and how the session stands."""
        self._tell_partials()
        if with_state:
            self._tell_state()

    def _tell_partials(self) -> None:
        before, self._last.partials = self._last.partials, {}
        for partial in self.call.partials():
            key = partial.item_id, partial.content_index
            self._last.partials[key] = partial.text
            changed = before.get(key) != partial.text
            waiting = [w for w in self.watchers if w.has_begun and (changed or not w.primed)]
            if waiting:
                message = shown(partial_of(partial))
                for watcher in waiting:
                    watcher.partial(key, message)
        for watcher in self.watchers:
            watcher.primed = watcher.primed or watcher.has_begun

    def _tell_state(self) -> None:
        state = shown(SessionMessage(session=self.session()))
        if state.text != self._last.state:
            self._last.state = state.text
            for watcher in self.watchers:
                watcher.state(state)

    def over(self, now: float) -> None:
        """The session has ended; its last words may still be on their way to the disk."""
        self.call, self._ended_at = over(self.call), now
        self._tell_state()
        self._finish_when_all_is_here()

    def finish(self) -> None:
        """Nothing more will come: say so to all who watch, once."""
        if self._ended is not None:
            return
        ended = EndedMessage(
            session_id=self.head.session_id,
            ending=self.call.ending(),
            ended_at=None if self._ended_at is None else iso(self._ended_at),
            seq=self.log.top,
            complete=self.log.top >= self.call.settled() and not self.log.missing,
        )
        self._ended = shown(ended, self.log.top)
        for watcher in self.watchers:
            watcher.finish(self._ended)

    async def _read(self, since: int) -> Sequence[Record]:
        """What memory no longer has."""
        if since >= self.log.floor:
            return ()
        earlier = await self._history.read(self.head.conversation_id)
        return [record for record in earlier.said if record.head.session_id == self.head.session_id]

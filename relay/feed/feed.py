"""One session's feed: its committed utterances, its state, and its subscribers."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Final

from relay.feed.messages import EndedMessage, SessionInfo, SessionMessage, iso, partial_message
from relay.feed.subscriber import EncodedMessage, Key, Subscriber, encode, encode_final
from relay.interfaces import (
    ConversationHistory,
    LiveSession,
    SessionStatus,
    StoreReader,
    UndeliveredRecords,
)
from relay.realtime.records import Record, newest

READ_SECONDS: Final = 3.0
"""The journal and the store must have answered by then: a coach waits for this."""
MOST_UNDELIVERED: Final = 10_000
"""Of one conversation's utterances in the journal; a session has no more items."""
MAX_RECORDS: Final = 200
"""Utterances of one session kept in memory, 110 KiB; older ones are read from the disk."""
MAX_CHARACTERS: Final = 65_536
"""Of those utterances; one answer of a model has some hundred, at most some ten thousand."""


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


class SessionFeed:
    """The feed of one session, from its beginning until some time after its end."""

    def __init__(self, session: LiveSession, history: FeedHistory) -> None:
        self.head = session.head
        self._door, self._engine_name = session.door, session.engine_name
        self._session: LiveSession | SessionStatus = session  # of an ended one its last status
        self.log = UtteranceLog()
        self.subscribers: set[Subscriber] = set()
        self._history = history
        self._last_state = ""  # as sent, to send only what changed
        self._last_partials: dict[Key, str] = {}
        self._ended_at: float | None = None
        self._ended: EncodedMessage | None = None  # the last message, once it is due

    @property
    def is_live(self) -> bool:
        """Whether the session has not ended."""
        return self._ended_at is None

    @property
    def is_finished(self) -> bool:
        """Whether the session has ended and its last message was sent."""
        return self._ended is not None

    def info(self) -> SessionInfo:
        """The state of the session now."""
        head, status = self.head, self._status()
        micro = status.micro
        return SessionInfo(
            id=head.session_id,
            conversation_id=head.conversation_id,
            user_id=head.user_id,
            agent_id=head.agent_id,
            model=head.model,
            voice=head.voice,
            door=self._door,
            engine=self._engine_name,
            started_at=iso(head.started_at),
            ended_at=None if self._ended_at is None else iso(self._ended_at),
            state="live" if self.is_live else "ended",
            ending=status.ending,
            paused=status.is_paused,
            speaker=status.speaker,
            seq=self.log.top,
            tokens=dict(status.tokens),
            cost_dollars=None if micro is None else micro / 1_000_000,
            answers=status.answers,
            answer_ms=status.answer_ms,
        )

    def _status(self) -> SessionStatus:
        session = self._session
        return session if isinstance(session, SessionStatus) else session.status()

    async def utterances(self, since: int) -> tuple[list[Record], int]:
        """The utterances after `since`, in conversation order, and the `seq` they reach up to."""
        past = await self._read(since)
        held, top = (*past, *self.log.since(since)), self.log.top
        return newest(record for record in held if since < record.seq <= top), top

    async def subscribe(self, since: int) -> Subscriber:
        """Add a subscriber who knows everything up to `since`; `unsubscribe` it at the end."""
        subscriber = Subscriber(since)
        subscriber.set_state(encode(SessionMessage(session=self.info())))
        self.subscribers.add(subscriber)
        try:
            past = await self._read(since)
        except BaseException:
            self.unsubscribe(subscriber)
            raise
        # Nothing is committed between reading the log and the start: nothing here waits.
        subscriber.start((*past, *self.log.since(since)), self.log.top)
        if self._ended is not None:
            subscriber.finish(self._ended)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        self.subscribers.discard(subscriber)
        if not self.subscribers:
            self._last_state = ""
            self._last_partials = {}

    def commit(self, record: Record) -> None:
        """Send an utterance that is on disk."""
        if self.log.add(record):
            if self.subscribers:
                self._send_final(record)
            self._finish_if_complete()

    def _send_final(self, record: Record) -> None:
        utterance = record.utterance
        final = encode_final(record)
        for subscriber in self.subscribers:
            if subscriber.has_started:
                subscriber.add_final((utterance.item_id, utterance.content_index), final)
            else:
                subscriber.hold(record)

    def _finish_if_complete(self) -> None:
        if not self.is_live and self.log.top >= self._status().seq:
            self.finish()

    def tick(self, *, with_state: bool = False) -> None:
        """Send what changed since the last tick: partials, and on demand the session's state."""
        self._send_partials()
        if with_state:
            self._send_state()

    def _send_partials(self) -> None:
        before, self._last_partials = self._last_partials, {}
        session = self._session
        for partial in () if isinstance(session, SessionStatus) else session.interim():
            key = partial.item_id, partial.content_index
            self._last_partials[key] = partial.text
            changed = before.get(key) != partial.text
            receivers = [
                subscriber
                for subscriber in self.subscribers
                if subscriber.has_started and (changed or not subscriber.has_partials)
            ]
            if receivers:
                message = encode(partial_message(partial))
                for subscriber in receivers:
                    subscriber.set_partial(key, message)
        for subscriber in self.subscribers:
            subscriber.has_partials = subscriber.has_partials or subscriber.has_started

    def _send_state(self) -> None:
        state = encode(SessionMessage(session=self.info()))
        if state.text != self._last_state:
            self._last_state = state.text
            for subscriber in self.subscribers:
                subscriber.set_state(state)

    def end(self, now: float) -> None:
        """Note the session's end; its last utterances may still be on their way to the disk.

        `now` is in Unix seconds, by a clock that may have been set back since the session began.
        """
        self._session = replace(self._status(), is_paused=False, speaker=None)
        self._ended_at = max(now, self.head.started_at)
        self._send_state()
        self._finish_if_complete()

    def finish(self) -> None:
        """Send the last message, once: nothing more will follow."""
        if self._ended is not None:
            return
        status = self._status()
        ended = EndedMessage(
            session_id=self.head.session_id,
            ending=status.ending,
            ended_at=None if self._ended_at is None else iso(self._ended_at),
            seq=self.log.top,
            complete=self.log.top >= status.seq and not self.log.missing,
        )
        self._ended = encode(ended, self.log.top)
        for subscriber in self.subscribers:
            subscriber.finish(self._ended)

    async def _read(self, since: int) -> Sequence[Record]:
        """The session's utterances from the disk, where memory does not have all after `since`."""
        if since >= self.log.floor:
            return ()
        history = await self._history.read(self.head.conversation_id)
        return [record for record in history.said if record.head.session_id == self.head.session_id]


class UtteranceLog:
    """One session's committed utterances in memory, each in its newest version, by `seq`.

    Versions come with rising `seq`. Those up to `floor` may be gone, `top` is the newest, and
    `missing` counts the numbers left out: utterances that were lost before the disk.
    """

    __slots__ = (
        "_characters",
        "_max_characters",
        "_max_records",
        "_records",
        "floor",
        "missing",
        "top",
    )

    def __init__(self, records: int = MAX_RECORDS, characters: int = MAX_CHARACTERS) -> None:
        self._max_records = records
        self._max_characters = characters
        self._records: dict[str, Record] = {}  # the order of insertion is that of `seq`
        self._characters = 0
        self.floor = 0
        self.top = 0
        self.missing = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> bool:
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
            self._drop_oldest()
        return True

    def since(self, seq: int) -> list[Record]:
        """The kept records above `seq`, in its order."""
        newer = deque[Record]()
        newer.extendleft(takewhile(lambda r: r.seq > seq, reversed(self._records.values())))
        return list(newer)

    def clear(self) -> None:
        """Drop all records; `top` stays."""
        self._records.clear()
        self._characters = 0
        self.floor = self.top

    def _drop_oldest(self) -> None:
        oldest = self._records.pop(next(iter(self._records)))
        self._characters -= _size(oldest)
        self.floor = oldest.seq


def _size(record: Record) -> int:
    return len(record.utterance.text) + len(record.utterance.heard_text)

"""Hands what was said, used and begun to the journal, with the name of the session it was in."""

import asyncio
import uuid
from collections.abc import Callable, Sequence

import msgspec

from relay.interfaces import Journal
from relay.realtime.coaching.control import Command
from relay.realtime.effects import RecordUsage, RecordUtterance
from relay.realtime.records import (
    ActionRecord,
    AnyRecord,
    Record,
    SessionHead,
    SessionRecord,
    UsageRecord,
    Utterance,
    record_id,
    usage_id,
)


class Recorder:
    """One session's way to the journal; nothing here ever waits."""

    def __init__(self, journal: Journal, head: SessionHead) -> None:
        self._journal = journal
        self.head = head
        self._begun: SessionRecord | None = None

    def record(self, utterance: Utterance) -> None:
        """Journal one settled utterance."""
        key = record_id(self.head.session_id, utterance.item_id, utterance.content_index)
        self._journal.append(Record(id=key, head=self.head, utterance=utterance))

    def take(self, action: RecordUtterance | RecordUsage) -> None:
        """Journal what the rules say."""
        if isinstance(action, RecordUtterance):
            self.record(action.utterance)
        else:
            self._used(action)

    def _used(self, used: RecordUsage) -> None:
        key = usage_id(self.head.session_id, used.line)
        record = UsageRecord(id=key, head=self.head, line=used.line, micro=used.micro)
        self._journal.append(record)

    def did(self, command: Command, at: float) -> None:
        """Journal what a coach did (Unix seconds)."""
        told = {"text": command.text} if command.text else {}
        details = told | ({"mode": command.mode} if command.action == "whisper" else {})
        self._journal.append(
            ActionRecord(
                id=str(uuid.uuid4()),
                head=self.head,
                coach_id=command.coach_id,
                action=command.action,
                at=at,
                details=details,
            )
        )

    def began(self, door: str, engine: str) -> None:
        """Journal that the call is under way."""
        key = self.head.session_id
        self._begun = SessionRecord(id=key, head=self.head, seq=1, door=door, engine=engine)
        self._journal.append(self._begun)

    def ended(self, ending: str, at: float) -> None:
        """Journal why and when (Unix seconds) the call ended, if it ever began."""
        if self._begun is not None:
            end = {"seq": 2, "ended_at": at, "ending": ending}
            self._journal.append(msgspec.structs.replace(self._begun, **end))


# ---- A journal that writes no words: for agents whose conversations are not to be stored.


class TextlessJournal:
    """A `relay.interfaces.Journal` before the one on disk.

    What was said goes to `show` alone, for those who follow the call now. What the call used, when
    it was and what a coach did is written, but for the words of a whisper.
    """

    def __init__(self, journal: Journal, show: Callable[[Sequence[AnyRecord]], None]) -> None:
        self._journal = journal
        self._show = show

    def append(self, record: AnyRecord) -> None:
        """Write it or show it; never blocks, never raises."""
        if isinstance(record, Record):
            # Not at once: whoever is shown it must not be able to disturb the call.
            asyncio.get_running_loop().call_soon(self._show, [record])
            return
        if isinstance(record, ActionRecord):
            told = {name: text for name, text in record.details.items() if name != "text"}
            record = msgspec.structs.replace(record, details=told)
        self._journal.append(record)

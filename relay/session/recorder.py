"""Writes journal records of one session: utterances, usage, its state and coach actions."""

import asyncio
import uuid
from collections.abc import Callable, Sequence

import msgspec

from relay.interfaces import Journal
from relay.realtime.coaching.control import Command
from relay.realtime.effects import CorrectEarlier, RecordUsage, RecordUtterance
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
    """Appends one session's records to the journal; nothing here ever waits. Times are Unix s."""

    def __init__(self, journal: Journal, head: SessionHead) -> None:
        self._journal = journal
        self.head = head
        self._begun: SessionRecord | None = None

    def record(self, effect: RecordUtterance | RecordUsage | CorrectEarlier) -> None:
        """Record what the rules ask for."""
        if isinstance(effect, RecordUtterance):
            self.utterance(effect.utterance)
        elif isinstance(effect, CorrectEarlier):
            self._journal.append(effect.record)
        else:
            self._usage(effect)

    def utterance(self, utterance: Utterance) -> None:
        """Record one finalized utterance."""
        key = record_id(self.head.session_id, utterance.item_id, utterance.content_index)
        self._journal.append(Record(id=key, head=self.head, utterance=utterance))

    def _usage(self, used: RecordUsage) -> None:
        key = usage_id(self.head.session_id, used.line)
        record = UsageRecord(id=key, head=self.head, line=used.line, micro=used.micro)
        self._journal.append(record)

    def command(self, command: Command, at: float) -> None:
        """Record what a coach did."""
        text = {"text": command.text} if command.text else {}
        details = text | ({"mode": command.mode} if command.action == "whisper" else {})
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
        """Record that the session is under way."""
        key = self.head.session_id
        self._begun = SessionRecord(id=key, head=self.head, seq=1, door=door, engine=engine)
        self._journal.append(self._begun)

    def ended(self, ending: str, at: float) -> None:
        """Record why and when the session ended, if it ever began."""
        if self._begun is not None:
            end = {"seq": 2, "ended_at": at, "ending": ending}
            self._journal.append(msgspec.structs.replace(self._begun, **end))


class TextlessJournal:
    """A `Journal` that withholds spoken words from another, for agents that store none.

    Utterances go to `show` alone, for those who follow the session now. Usage, the session and
    what coaches did are recorded, without the text of a whisper.
    """

    def __init__(self, journal: Journal, show: Callable[[Sequence[AnyRecord]], None]) -> None:
        self._journal = journal
        self._show = show

    def append(self, record: AnyRecord) -> None:
        """Record it or show it; never blocks, never raises."""
        if isinstance(record, Record):
            # By the loop's next turn: a subscriber's fault must not disturb the session.
            asyncio.get_running_loop().call_soon(self._show, [record])
            return
        if isinstance(record, ActionRecord):
            details = {name: text for name, text in record.details.items() if name != "text"}
            record = msgspec.structs.replace(record, details=details)
        self._journal.append(record)

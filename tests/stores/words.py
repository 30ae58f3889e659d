"""Records as the tests say them: who said what, in which session, where in the conversation."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from relay.realtime.billing.usage import Usage, UsageLine
from relay.realtime.records import (
    ActionRecord,
    AnyRecord,
    CoachAction,
    Record,
    SessionHead,
    SessionRecord,
    Speaker,
    UsageRecord,
    Utterance,
    mark,
    record_id,
    usage_id,
)
from relay.stores.journal.journal import DiskJournal, JournalLimits

DAY = 20_370
"""The UTC day of MORNING, counted since 1970."""
MORNING = 1_760_000_000.25
LEARNER = "11111111-1111-4111-8111-111111111111"
STRANGER = "22222222-2222-4222-8222-222222222222"
COACH = "99999999-9999-4999-8999-999999999999"
OTHER_AGENT = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
AGENT = "33333333-3333-4333-8333-333333333333"
CONVERSATION = "44444444-4444-4444-8444-444444444444"
SESSION = "55555555-5555-4555-8555-555555555555"
LATER_SESSION = "66666666-6666-4666-8666-666666666666"


@dataclass(frozen=True)
class Call:
    """One session of a conversation; `user` and `assistant` make the records of what is said."""

    session_id: str = SESSION
    conversation_id: str = CONVERSATION
    user_id: str = LEARNER
    agent_id: str = AGENT
    started_at: float = MORNING

    def of(self, **changes: str | float) -> "Call":
        return replace(self, **changes)  # type: ignore[arg-type]

    def user(self, text: str, position: float = 1.0, **more: Any) -> Record:
        return self._said("user", text, position, more)

    def assistant(self, text: str, position: float = 2.0, **more: Any) -> Record:
        return self._said("assistant", text, position, more)

    def used(self, micro: int | None, seq: int = 1, **more: Any) -> UsageRecord:
        """What one model used; `more` is its `model`, its `day`, and tokens by name."""
        model, day = more.pop("model", "gpt-realtime"), more.pop("day", DAY)
        usage = Usage(**(more or {"audio_in": 10 * seq, "audio_out": 20 * seq}))
        line = UsageLine(model=model, day=day, usage=usage, seq=seq)
        key = usage_id(self.session_id, line)
        return UsageRecord(id=key, head=self.head, line=line, micro=micro)

    def begun(self) -> SessionRecord:
        return SessionRecord(
            id=self.session_id, head=self.head, seq=1, door="browser", engine="echo"
        )

    def ended(self, seconds: float) -> SessionRecord:
        """The same call when it had lasted so long."""
        at = self.started_at + seconds
        return msgspec.structs.replace(self.begun(), seq=2, ended_at=at, ending="client_left")

    def done(self, action: CoachAction = "pause", **details: str) -> ActionRecord:
        """What the coach did in this call."""
        key = str(uuid.uuid5(uuid.UUID(self.session_id), f"{action}{details}"))
        return ActionRecord(
            id=key, head=self.head, coach_id=COACH, action=action, at=MORNING, details=details
        )

    @property
    def head(self) -> SessionHead:
        return SessionHead(
            session_id=self.session_id,
            conversation_id=self.conversation_id,
            user_id=self.user_id,
            agent_id=self.agent_id,
            model="gpt-realtime",
            voice="marin",
            started_at=self.started_at,
        )

    def _said(self, role: Speaker, text: str, position: float, more: dict[str, Any]) -> Record:
        usual: dict[str, Any] = {
            "item_id": f"item_{position:g}",
            "role": role,
            "text": text,
            "heard_text": text,
            "state": "final",
            "seq": int(position),
            "position": position,
            "created_at": self.started_at + position,
        }
        utterance = Utterance(**(usual | more))
        key = record_id(self.session_id, utterance.item_id, utterance.content_index)
        return Record(id=key, head=self.head, utterance=utterance)


def corrected(record: Record, text: str, seq: int) -> Record:
    """The same utterance as it turned out later."""
    said = msgspec.structs.replace(record.utterance, text=text, heard_text=text, seq=seq)
    return msgspec.structs.replace(record, utterance=said)


def marked(record: Record, seq: int, *, deleted: bool = True) -> Record:
    """The same utterance once the client has deleted it, or made it again."""
    said = msgspec.structs.replace(record.utterance, deleted_for_model=mark(deleted), seq=seq)
    return msgspec.structs.replace(record, utterance=said)


def texts(records: Sequence[AnyRecord]) -> list[str]:
    """What was said; other records are not expected."""
    assert all(isinstance(record, Record) for record in records)
    return [record.utterance.text for record in records if isinstance(record, Record)]


async def open_journal(folder: Path, limits: JournalLimits | None = None) -> DiskJournal:
    journal = DiskJournal(folder, limits)
    await journal.start()
    return journal


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())

"""What the journal keeps and a store is given: words, what a call used, and the call itself."""

import uuid
from collections.abc import Iterable
from typing import Literal

import msgspec

from relay.realtime.billing.usage import UsageLine

# ---- One thing one speaker said, as it is shown, journalled and stored.

Speaker = Literal["user", "assistant"]
State = Literal["partial", "final", "interrupted", "failed", "unheard"]
Origin = Literal["voice", "text", "seeded"]


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One settled utterance of one session (docs/architecture.md, "Words"; PROTOCOL §5).

    `seq` is the order in which utterances settled, gapless from 1 within a session; a correction
    keeps `item_id` and takes a new `seq`. `position` is conversation order. `text` is all that was
    said or generated, `heard_text` what of it was heard, `heard_estimated` that the relay had to
    guess how much that was. `coach_id` is the user who said it in the model's place. Times are Unix
    seconds, lengths ms.
    """

    item_id: str
    content_index: int = 0
    role: Speaker
    text: str
    heard_text: str
    state: State
    origin: Origin = "voice"
    seq: int
    position: float
    created_at: float
    heard_ms: int | None = None
    heard_estimated: bool = False
    audio_ms: int | None = None
    coach_id: str | None = None


class SessionHead(msgspec.Struct, frozen=True, kw_only=True):
    """Whose words these are: what every record of one session has in common."""

    session_id: str
    conversation_id: str
    user_id: str
    agent_id: str
    model: str
    voice: str
    started_at: float


class Record(msgspec.Struct, frozen=True, kw_only=True, tag="utterance"):
    """What the journal keeps and the store is given of words: one utterance with its head.

    `id` is the UUIDv5 of session and item, so that storing a record twice changes nothing.
    """

    id: str
    head: SessionHead
    utterance: Utterance

    @property
    def seq(self) -> int:
        """Of two versions of one record, the higher is the newer."""
        return self.utterance.seq


def record_id(session_id: str, item_id: str, content_index: int = 0) -> str:
    """UUIDv5 of session and item; further content parts of one item get ids of their own.

    `session_id` is a UUID; ValueError otherwise.
    """
    item = uuid.uuid5(uuid.UUID(session_id), item_id)
    return str(uuid.uuid5(item, str(content_index)) if content_index else item)


CoachAction = Literal["pause", "resume", "whisper", "takeover", "release", "end", "note", "summary"]


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, tag="usage"):
    """All that one model used in one session on one UTC day, so far; a higher `seq` is newer.

    `id` is `usage_id`, `micro` what it costs in micro-dollars by the prices of the moment, None
    where the model has no price.
    """

    id: str
    head: SessionHead
    line: UsageLine
    micro: int | None

    @property
    def seq(self) -> int:
        """Of two versions of one record, the higher is the newer."""
        return self.line.seq


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="session"):
    """One call: written when it begins (`seq` 1) and when it has ended (`seq` 2).

    `id` is the session's. `ended_at` is in Unix seconds, `ending` a name of `realtime.endings`;
    both are None while the call lasts.
    """

    id: str
    head: SessionHead
    seq: int
    door: str
    engine: str
    ended_at: float | None = None
    ending: str | None = None


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="action"):
    """What a coach did to a call: the audit, one record a command that changed something.

    `id` is a UUID made when it was done, `at` in Unix seconds. `details` are the command's own.
    """

    id: str
    head: SessionHead
    coach_id: str
    action: CoachAction
    at: float
    details: dict[str, str] = {}

    @property
    def seq(self) -> int:
        """What was done stays done: there is one version."""
        return 1


AnyRecord = Record | UsageRecord | SessionRecord | ActionRecord
"""Each has `id`, `head` and `seq`: storing one twice changes nothing, nor does a lower `seq`."""


def usage_id(session_id: str, line: UsageLine) -> str:
    """UUIDv5 of session, model and day; `session_id` is a UUID."""
    return str(uuid.uuid5(uuid.UUID(session_id), f"usage/{line.day}/{line.model}"))


# ---- Of several versions of an utterance the newest counts; and where each stands.


def newest(records: Iterable[Record]) -> list[Record]:
    """One version of each record, in conversation order: by the session's start, then position."""
    found: dict[str, Record] = {}
    for record in records:
        if record.id not in found or found[record.id].seq < record.seq:
            found[record.id] = record
    return sorted(found.values(), key=place)


def place(record: Record) -> tuple[float, str, float, int]:
    """Where it stands in its conversation: sessions by their start, words by their position."""
    head, said = record.head, record.utterance
    return head.started_at, head.session_id, said.position, said.content_index

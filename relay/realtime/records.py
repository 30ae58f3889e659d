"""Utterances, and the journal records of utterances, usage, sessions and coach actions."""

import uuid
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from relay.realtime.billing.usage import UsageLine

Speaker = Literal["user", "assistant"]
State = Literal["partial", "final", "interrupted", "failed", "unheard"]
Origin = Literal["voice", "text", "seeded"]
CoachAction = Literal["pause", "resume", "whisper", "takeover", "release", "end", "note", "summary"]

Mark = Literal[True] | UnsetType
"""True, or nothing at all: what was never marked reads as it did before there were marks."""

_MICROSECOND = 6  # digits of a second


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One version of what one speaker said in one content part of an item (PROTOCOL §5).

    `seq` counts the finalized utterances of a session from 1 without gaps; a correction keeps
    `item_id` and takes a new `seq`. `position` is the place in the conversation. `text` is all that
    was said or generated, `heard_text` the part of it that was heard; `heard_estimated` says that
    the relay estimated that part. `coach_id` is the coach who said it in the model's place.
    `deleted_for_model` is True where the client has deleted the item, and nowhere else written: it
    was said and heard all the same, but a model that continues the conversation is not told it.
    Times are Unix seconds, lengths ms.
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
    deleted_for_model: Mark = UNSET


def mark(is_set: bool) -> Mark:
    """The mark of an utterance that has it, or not."""
    return True if is_set else UNSET


class SessionHead(msgspec.Struct, frozen=True, kw_only=True):
    """The common part of all records of one session."""

    session_id: str
    conversation_id: str
    user_id: str
    agent_id: str
    model: str
    voice: str
    started_at: float


class Record(msgspec.Struct, frozen=True, kw_only=True, tag="utterance"):
    """The record of one utterance.

    `id` is the UUIDv5 of session and item (`record_id`), so that storing it twice changes nothing.
    """

    id: str
    head: SessionHead
    utterance: Utterance

    @property
    def seq(self) -> int:
        """The version of the record: the higher one is newer."""
        return self.utterance.seq


def record_id(session_id: str, item_id: str, content_index: int = 0) -> str:
    """UUIDv5 of session and item; further content parts of one item get ids of their own.

    `session_id` is a UUID; ValueError otherwise.
    """
    item = uuid.uuid5(uuid.UUID(session_id), item_id)
    return str(uuid.uuid5(item, str(content_index)) if content_index else item)


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, tag="usage"):
    """All that one model used in one session on one UTC day so far.

    `id` is `usage_id`; `micro` is the cost in micro-dollars at the prices of the moment, None if
    the model has no price.
    """

    id: str
    head: SessionHead
    line: UsageLine
    micro: int | None

    @property
    def seq(self) -> int:
        """The version of the record: the higher one is newer."""
        return self.line.seq


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="session"):
    """One session: written when it begins (`seq` 1) and when it has ended (`seq` 2).

    `id` is the session's id. `ended_at` is in Unix seconds, `ending` a name in `realtime.endings`;
    both are None while the session lasts.
    """

    id: str
    head: SessionHead
    seq: int
    door: str
    engine: str
    ended_at: float | None = None
    ending: str | None = None


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="action"):
    """The audit record of a coach's command that changed something.

    `id` is a new UUID, `at` is in Unix seconds. `details` depend on the command.
    """

    id: str
    head: SessionHead
    coach_id: str
    action: CoachAction
    at: float
    details: dict[str, str] = {}

    @property
    def seq(self) -> int:
        """Always 1: an action has one version."""
        return 1


AnyRecord = Record | UsageRecord | SessionRecord | ActionRecord
"""Each has `id`, `head` and `seq`. Storing one twice changes nothing, nor does a lower `seq`."""


def usage_id(session_id: str, line: UsageLine) -> str:
    """UUIDv5 of session, model and day; `session_id` is a UUID."""
    return str(uuid.uuid5(uuid.UUID(session_id), f"usage/{line.day}/{line.model}"))


def newest(records: Iterable[Record]) -> list[Record]:
    """The newest version of each record, in conversation order."""
    found: dict[str, Record] = {}
    for record in records:
        if record.id not in found or found[record.id].seq < record.seq:
            found[record.id] = record
    return sorted(found.values(), key=by_position)


def by_position(record: Record) -> tuple[float, str, float, int]:
    """The record's place: by the session's start, then by position within the session.

    Stores keep whole microseconds, the journal all digits: of one session some records may come
    from each.
    """
    head, utterance = record.head, record.utterance
    return (
        round(head.started_at, _MICROSECOND),
        head.session_id,
        utterance.position,
        utterance.content_index,
    )

"""Converts records to rows of S3's tables and the relay's own, and back.

CONTRACTS §2.3, docs/database.md.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, cast

import msgspec

from relay.realtime.billing.usage import Usage
from relay.realtime.records import (
    ActionRecord,
    Origin,
    Record,
    SessionHead,
    SessionRecord,
    Speaker,
    State,
    UsageRecord,
    Utterance,
    mark,
)

TITLE = "Voice Chat"
STARTED_VIA = "realtime_voice"
INPUT_METHODS: Mapping[Origin, str] = {
    "voice": "realtime_voice",
    "text": "text",
    "seeded": "seeded",
}
_EPOCH: Final = date(1970, 1, 1)
_ORIGINS = {method: origin for origin, method in INPUT_METHODS.items()}


def conversation_row(head: SessionHead) -> dict[str, Any]:
    """The `conversation_sessions` row that a conversation's first utterance creates.

    Its primary key is the conversation's id, so that every relay writes the same row.
    """
    return {
        "id": head.conversation_id,
        "conversation_id": head.conversation_id,
        "user_id": head.user_id,
        "agent_id": head.agent_id,
        "title": TITLE,
        "started_at": timestamp(head.started_at),
        "last_active": timestamp(head.started_at),
        "session_state": {"started_via": STARTED_VIA},
        "status": "active",
    }


def message_row(record: Record, conversation_key: str) -> dict[str, Any]:
    """The `chat_messages_v2` row of a record; `conversation_key` is its conversation row's `id`.

    The content is what was heard (S3-37); text that was generated beyond it stays in
    `metadata.full_text`. Rows sent by users, including coaches, name the agent in
    `metadata.target_agent_id`, where S3's policies look for it. A coach's utterance has the role
    `assistant` and the coach as its sender.
    """
    head, said = record.head, record.utterance
    by_user = said.role == "user"
    stored = said.text if by_user else said.heard_text
    metadata = _metadata(head, said)
    if said.deleted_for_model:
        metadata["deleted_for_model"] = True
    sender = head.user_id if by_user else said.coach_id
    if sender is not None:
        metadata["target_agent_id"] = head.agent_id
    if stored != said.text:
        metadata["full_text"] = said.text
    return {
        "id": record.id,
        "conversation_id": head.conversation_id,
        "session_id": conversation_key,
        "sender_user_id": sender,
        "sender_agent_id": head.agent_id if sender is None else None,
        "role": said.role,
        "content": {"type": "text", "text": stored},
        "metadata": metadata,
        "created_at": timestamp(said.created_at),
    }


def _metadata(head: SessionHead, said: Utterance) -> dict[str, Any]:
    return {
        "voice_session_id": head.session_id,
        "session_started_at": timestamp(head.started_at),
        "item_id": said.item_id,
        "content_index": said.content_index,
        "seq": said.seq,
        "position": said.position,
        "state": said.state,
        "heard_text": said.heard_text,
        "heard_ms": said.heard_ms,
        "heard_estimated": said.heard_estimated,
        "audio_ms": said.audio_ms,
        "model": head.model,
        "voice": head.voice,
        "input_method": INPUT_METHODS[said.origin],
        "audio_stored": False,
    }


def usage_row(record: UsageRecord) -> dict[str, Any]:
    """The `voice_usage` row of one model's usage in one session on one day, in micro-dollars."""
    return {
        "id": record.id,
        **_owner_columns(record.head),
        "voice_session_id": record.head.session_id,
        "model": record.line.model,
        "day": iso_day(record.line.day),
        "seq": record.seq,
        **msgspec.to_builtins(record.line.usage),
        "cost_micro": record.micro,
    }


def read_usage(row: Mapping[str, Any]) -> Usage:
    """The usage of a `voice_usage` row, also of a table that has no column `characters` yet."""
    counts = {name: row[name] for name in Usage.__struct_fields__ if name != "characters"}
    return Usage(**counts, characters=row.get("characters", 0))


def session_row(record: SessionRecord) -> dict[str, Any]:
    """The `voice_sessions` row of a call that has begun or ended."""
    return {
        "id": record.id,
        **_owner_columns(record.head),
        "model": record.head.model,
        "voice": record.head.voice,
        "door": record.door,
        "engine": record.engine,
        "started_at": timestamp(record.head.started_at),
        "ended_at": None if record.ended_at is None else timestamp(record.ended_at),
        "ending": record.ending,
        "seq": record.seq,
    }


def action_row(record: ActionRecord) -> dict[str, Any]:
    """The `coach_actions` row of a coach's command."""
    return {
        "id": record.id,
        "session_id": record.head.session_id,
        "conversation_id": record.head.conversation_id,
        "coach_id": record.coach_id,
        "action": record.action,
        "details": record.details,
        "at": timestamp(record.at),
    }


def _owner_columns(head: SessionHead) -> dict[str, Any]:
    return {
        "conversation_id": head.conversation_id,
        "user_id": head.user_id,
        "agent_id": head.agent_id,
    }


def record_from_row(message: Mapping[str, Any], user_id: str) -> Record:
    """The record of a `chat_messages_v2` row; times are to the microsecond, as in PostgreSQL."""
    metadata = message["metadata"]
    head = SessionHead(
        session_id=metadata["voice_session_id"],
        conversation_id=message["conversation_id"],
        user_id=user_id,
        agent_id=message["sender_agent_id"] or metadata["target_agent_id"],
        model=metadata["model"],
        voice=metadata["voice"],
        started_at=seconds(metadata["session_started_at"]),
    )
    utterance = Utterance(
        item_id=metadata["item_id"],
        content_index=metadata["content_index"],
        role=cast("Speaker", message["role"]),
        text=metadata.get("full_text", message["content"]["text"]),
        heard_text=metadata["heard_text"],
        state=cast("State", metadata["state"]),
        origin=_ORIGINS[metadata["input_method"]],
        seq=metadata["seq"],
        position=metadata["position"],
        created_at=seconds(message["created_at"]),
        heard_ms=metadata["heard_ms"],
        heard_estimated=metadata.get("heard_estimated", False),
        audio_ms=metadata["audio_ms"],
        coach_id=message.get("sender_user_id") if message["role"] == "assistant" else None,
        deleted_for_model=mark(metadata.get("deleted_for_model") is True),
    )
    return Record(id=message["id"], head=head, utterance=utterance)


def iso_day(day: int) -> str:
    """A UTC day, counted since 1970, as `2026-11-21`."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_number(iso: str) -> int:
    """The UTC day, counted since 1970, of an `iso_day`; raises ValueError."""
    return (date.fromisoformat(iso) - _EPOCH).days


def timestamp(unix_seconds: float) -> str:
    """ISO 8601 in UTC with microseconds: it sorts as text and PostgreSQL reads it."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds")


def seconds(iso: str) -> float:
    """Unix seconds of a `timestamp`."""
    return datetime.fromisoformat(iso).timestamp()

"""Records as a project's database takes them, and its rows as records again; pure."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from relay.interfaces import CONSTRAINT
from relay.realtime.records import (
    ActionRecord,
    AnyRecord,
    Head,
    Record,
    SessionRecord,
    Speaker,
    UsageRecord,
    Utterance,
    place,
)
from relay.stores.rows import (
    action_row,
    conversation_row,
    message_row,
    record_of,
    seconds,
    session_row,
    usage_row,
)

Item = dict[str, Any]
"""One record as `voice_put` takes it: its `kind`, its `row`, and words' `conversation`."""

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""JSON may have them, jsonb may not: NUL is not text to PostgreSQL, a lone surrogate not UTF-8."""
_INSTEAD: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records as items, and why some of them can be none, by record id."""

    items: Sequence[Item]
    refused: Mapping[str, str]


def batch_of(records: Iterable[AnyRecord]) -> Batch:
    """All of them as items, but for those with a number that is none or a time out of reach."""
    items: list[Item] = []
    refused: dict[str, str] = {}
    for record in records:
        try:
            items.append(_storable(_item(record)))
        except (ValueError, OverflowError, OSError):
            refused[record.id] = CONSTRAINT
    return Batch(items, refused)


def _item(record: AnyRecord) -> Item:
    if isinstance(record, UsageRecord):
        return {"kind": "usage", "row": usage_row(record)}
    if isinstance(record, SessionRecord):
        return {"kind": "session", "row": session_row(record)}
    if isinstance(record, ActionRecord):
        return {"kind": "action", "row": action_row(record)}
    conversation = conversation_row(record.head)
    row = message_row(record, conversation["id"])
    return {"kind": "utterance", "conversation": conversation, "row": row}


def _storable(value: Any) -> Any:
    """The same value with U+FFFD for what no text column holds; ValueError where that is no way."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(_INSTEAD, value)
    if isinstance(value, dict):
        return {name: _storable(inner) for name, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    return value


def records_of(messages: Iterable[Mapping[str, Any]], user_id: str) -> list[Record]:
    """A conversation's records in its order: sessions by their start, words by their position.

    What the text chat said in the same conversation stands between the calls, at its time. Rows
    that are no words (of tools, pictures, or by somebody else's hand) are passed over.
    """
    found = {message.get("id"): _record(message, user_id) for message in messages}
    return sorted((record for record in found.values() if record is not None), key=place)


def _record(message: Mapping[str, Any], user_id: str) -> Record | None:
    try:
        if "voice_session_id" in message["metadata"]:
            return record_of(message, user_id)
        return _written(message, user_id)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _written(message: Mapping[str, Any], user_id: str) -> Record | None:
    """A row of the text chat, which knows no sessions: as if it were one of its own."""
    role, text = message["role"], message["content"]["text"]
    if role not in ("user", "assistant") or not isinstance(text, str) or not text:
        return None
    at, metadata = seconds(message["created_at"]), message["metadata"]
    head = Head(
        session_id=message["id"],
        conversation_id=message["conversation_id"],
        user_id=user_id,
        agent_id=message["sender_agent_id"] or metadata.get("target_agent_id") or "",
        model=str(metadata.get("model") or ""),
        voice="",
        started_at=at,
    )
    utterance = Utterance(
        item_id=message["id"],
        role=cast("Speaker", role),
        text=text,
        heard_text=text,
        state="final",
        origin="text",
        seq=1,
        position=1.0,
        created_at=at,
    )
    return Record(id=message["id"], head=head, utterance=utterance)

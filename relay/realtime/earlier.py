"""What was said in the earlier sessions of a conversation, and which of it the model is told."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from relay.realtime.records import Record, Utterance, mark

MAX_TURNS: Final = 100
"""Earlier utterances that the engine is sent, the latest; an hour of talk has some two hundred."""
MAX_CHARACTERS: Final = 32_000
"""Of all of them together: some 8,000 tokens, which are billed again with every answer."""


class EarlierRecords:
    """The records that a session may still correct: those the model is told, or was.

    `records` are all of the conversation, oldest first, each in its newest version.
    """

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self._of_item: dict[str, list[Record]] = defaultdict(list)
        for record in records[-MAX_TURNS:]:
            self._of_item[record.utterance.item_id].append(record)
        self._seq: dict[str, int] = defaultdict(int)  # the highest, by session
        for record in records:
            session_id = record.head.session_id
            self._seq[session_id] = max(self._seq[session_id], record.seq)

    @property
    def has_deleted(self) -> bool:
        """Whether the client has deleted any of it."""
        records = (record for found in self._of_item.values() for record in found)
        return any(record.utterance.deleted_for_model is True for record in records)

    def mark(self, item_id: str, *, deleted: bool) -> list[Record]:
        """The corrections of an item's records; none where they say so already."""
        changed = []
        for number, record in enumerate(self._of_item.get(item_id, ())):
            if bool(record.utterance.deleted_for_model) == deleted:
                continue
            self._seq[record.head.session_id] += 1
            seq = self._seq[record.head.session_id]
            marked = {"deleted_for_model": mark(deleted), "seq": seq}
            said = msgspec.structs.replace(record.utterance, **marked)
            corrected = msgspec.structs.replace(record, utterance=said)
            self._of_item[item_id][number] = corrected
            changed.append(corrected)
        return changed


def seed_items(records: Sequence[Record]) -> tuple[dict[str, Any], ...]:
    """Message items of what was said earlier and heard, oldest first, within bounds (S3-52).

    Not of items that the client has deleted. Each has the id of its item; of two items of one id
    only the later.
    """
    items: list[dict[str, Any]] = []
    characters = 0
    sessions: dict[str, str] = {}
    for record in _latest(records):
        said = record.utterance
        text = said.text if said.role == "user" else said.heard_text
        characters += len(text)
        if characters > MAX_CHARACTERS:
            break
        if text:
            item = _message(said, text)
            if sessions.setdefault(said.item_id, record.head.session_id) == record.head.session_id:
                item["id"] = said.item_id
            items.append(item)
    return tuple(reversed(items))


def _latest(records: Sequence[Record]) -> Iterable[Record]:
    """Those that the model may be told, the newest first."""
    latest = reversed(records[-MAX_TURNS:])
    return (record for record in latest if not record.utterance.deleted_for_model)


def earlier_ids(records: Sequence[Record]) -> tuple[str, ...]:
    """The ids of the items of what was said earlier, oldest first; of one id its last place."""
    latest = dict.fromkeys(record.utterance.item_id for record in reversed(records))
    return tuple(reversed(latest))


def _message(said: Utterance, text: str) -> dict[str, Any]:
    kind = "input_text" if said.role == "user" else "output_text"
    return {"type": "message", "role": said.role, "content": [{"type": kind, "text": text}]}

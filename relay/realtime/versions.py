"""Of several versions of an utterance the newest counts; and where each stands."""

from collections.abc import Iterable

from relay.realtime.utterance import Record


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

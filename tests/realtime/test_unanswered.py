"""What a client did to items before it left, and the engine had no time to confirm."""

from typing import Any

import pytest

from relay.realtime.effects import Effect, RecordUtterance
from relay.realtime.events import Event, encode
from relay.realtime.unanswered import MOST_EDITS, UnansweredEdits
from tests.realtime import wire_events as wire
from tests.realtime.session_core import from_engine, new_core

DELETE: Event = {"type": "conversation.item.delete", "event_id": "D", "item_id": "A1"}
DELETED: Event = {"type": "conversation.item.deleted", "item_id": "A1"}
TEXT = "One two three four."


def truncate(ms: int) -> Event:
    kind = "conversation.item.truncate"
    return {"type": kind, "item_id": "A1", "content_index": 0, "audio_end_ms": ms}


def last_records(*asked: Event, then: tuple[Event, ...] = (), leaves: bool = False) -> list[Any]:
    """What is recorded at the end of a call in which an answer of two seconds was heard."""
    core = new_core()
    for event in wire.answer("A1", TEXT, None):
        if event["type"] == "response.output_audio.done":
            core.playout.received("A1", 2000)
            core.playout.sent("A1", 2000, 1.0)
            core.transcript.add_audio("A1", 2000)
        from_engine(core, event)
    core.on_deadline(9.0)
    for event in asked:
        core.from_client(encode(event), 9.0)
    for event in then:
        from_engine(core, event, 9.0)
    left: list[Effect] = core.client_left(9.0) if leaves else []
    said = [effect.utterance for effect in left if isinstance(effect, RecordUtterance)]
    said += core.finish(9.0)
    return [(one.heard_text, one.state, one.deleted_for_model is True) for one in said]


@pytest.mark.parametrize("leaves", [False, True], ids=["at the end", "before last words"])
def test_an_item_that_the_client_deleted_last_is_deleted(leaves: bool) -> None:
    assert last_records(DELETE, leaves=leaves) == [(TEXT, "final", True)]


def test_an_answer_that_the_client_truncated_last_was_heard_so_far() -> None:
    assert last_records(truncate(1000)) == [("One two", "interrupted", False)]


ANSWERED = {
    "confirmed": [DELETED],
    "refused": [{"type": "error", "error": {"code": "gone", "event_id": "D"}}],
}


@pytest.mark.parametrize("answer", ANSWERED.values(), ids=ANSWERED)
def test_what_the_engine_has_answered_is_not_taken_as_done_again(answer: list[Event]) -> None:
    assert last_records(DELETE, then=(*answer,)) == []


def test_a_truncation_beyond_the_end_is_none() -> None:
    assert last_records(truncate(2500)) == []


def test_an_edit_without_an_id_is_refused_by_an_error_without_one() -> None:
    unnamed = {"type": "error", "error": {"code": "gone", "event_id": None}}
    assert last_records(truncate(1000), then=(unnamed,)) == []
    assert last_records(DELETE, then=(unnamed,)) == [(TEXT, "final", True)]


def test_the_oldest_of_too_many_are_forgotten() -> None:
    edits = UnansweredEdits()
    for number in range(MOST_EDITS + 1):
        edits.ask({**DELETE, "item_id": f"A{number}"})
    taken = edits.take(lambda _: None)
    assert [event["item_id"] for event in taken][::255] == ["A1", f"A{MOST_EDITS}"]
    assert edits.take(lambda _: None) == []

"""Coaches' items: their events, and one order for the client and another for the engine."""

from typing import Any

import pytest

from relay.realtime.coaching.items import CoachItems, CoachTurn
from relay.realtime.events import BadEvent
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event


def turn(number: int, previous: str | None, anchor: str | None) -> CoachTurn:
    return CoachTurn(number, "carol", f"C{number}", f"R{number}", previous, anchor)


def links(items: CoachItems, *events: Event) -> list[str | None]:
    """The `previous_item_id` of each event as the client sees it, "hidden" if it does not."""
    shown = []
    for event in events:
        items.observe(event, 1.0)
        seen = items.visible(event)
        shown.append("hidden" if seen is None else seen["previous_item_id"])
    return shown


def user(item_id: str, previous: str | None) -> list[Event]:
    return wire.typed(item_id, "Hi.", previous)


def started() -> tuple[CoachItems, CoachTurn]:
    """A conversation of U1 and then the coach's C1."""
    items = CoachItems()
    links(items, *user("U1", None))
    first = turn(1, "U1", items.tail)
    items.add(first)
    return items, first


def test_an_item_that_follows_the_engines_last_one_follows_the_coach_for_the_client() -> None:
    items, first = started()
    assert first.anchor == "U1"
    assert links(items, *user("U2", "U1")) == ["C1", "C1"]
    assert links(items, *user("U3", "U2")) == ["U2", "U2"]


def test_once_the_engine_has_the_coachs_item_its_own_order_counts() -> None:
    items, _ = started()
    assert links(items, *wire.typed("C1", "Hello.", "U1", "assistant")) == ["hidden", "hidden"]
    assert items.tail == "C1"
    assert links(items, *user("U2", "C1")) == ["C1", "C1"]
    assert links(items, *user("U0", "U1")) == ["U1", "U1"], "inserted by a client"


def test_two_turns_in_a_row_keep_their_order_for_client_and_engine() -> None:
    items, first = started()
    second = turn(2, "C1", items.tail)
    items.add(second)
    assert links(items, *user("U2", "U1")) == ["C2", "C2"]
    assert items.previous_for_engine(second) == "U1", "the first one has no text yet"
    second.is_sent = True
    assert items.previous_for_engine(first) == "U1"
    first.is_sent = True
    third = turn(3, "U2", items.tail)
    assert third.anchor == "U2"
    assert items.previous_for_engine(turn(4, "C2", "U1")) == "C2"


def test_a_turn_before_any_item_comes_first() -> None:
    items = CoachItems()
    first = turn(1, None, items.tail)
    items.add(first)
    assert items.previous_for_engine(first) == "root"
    assert links(items, *user("U1", None)) == ["C1", None], (
        "a null predecessor in `done` says nothing"
    )


def test_a_turn_after_a_deleted_item_goes_to_the_end() -> None:
    items, first = started()
    deleted = {"type": "conversation.item.deleted", "item_id": "U1"}
    items.observe(deleted, 1.0)
    assert items.previous_for_engine(first) is None
    assert items.tail == ""


def test_an_item_after_a_deleted_turn_moves_up() -> None:
    items, first = started()
    items.add(turn(2, "C1", items.tail))
    items.delete(first)
    assert links(items, *user("U2", "U1")) == ["C2", "C2"]


def test_an_item_that_a_client_inserts_after_a_turn_is_linked_to_one_the_engine_knows() -> None:
    items, first = started()
    create = {"type": "conversation.item.create", "previous_item_id": "C1", "item": {}}
    assert items.for_engine(create)["previous_item_id"] == "U1"
    first.is_sent = True
    assert items.for_engine(create)["previous_item_id"] == "C1"


def test_a_turn_that_the_engine_does_not_have_cannot_be_referred_to() -> None:
    items, first = started()
    given = [{"type": "item_reference", "id": "C1"}]
    create = {"type": "response.create", "response": {"input": given}}
    with pytest.raises(BadEvent, match="does not exist"):
        items.for_engine(create)
    first.is_sent = True
    assert items.for_engine(create) is create


def test_the_id_of_a_turn_is_taken() -> None:
    items, _ = started()
    with pytest.raises(BadEvent, match="already exists"):
        items.for_engine({"type": "conversation.item.create", "item": {"id": "C1"}})


# The events of one turn


def answer(**given: Any) -> CoachTurn:
    return CoachTurn(1, "carol", "A1", "resp_1", "U1", "U1", **given)


def all_events(turn: CoachTurn) -> list[dict[str, Any]]:
    turn.audio_ms = 1000
    turn.text = "Hello Ada."
    return [
        *turn.opening_events(),
        turn.audio_done_event(),
        *turn.transcript_events(),
        *turn.closing_events(),
    ]


def test_a_turn_has_the_events_of_a_spoken_answer_in_its_order() -> None:
    ours = [event["type"] for event in all_events(answer())]
    theirs = [event["type"] for event in wire.answer("A1", "Hello", "U1")]
    before, sound = theirs[:4], "response.output_audio.done"
    words = "response.output_audio_transcript.delta"
    assert ours == [
        *before,
        sound,
        words,
        *[kind for kind in theirs[4:] if kind not in (sound, words)],
    ]


def test_each_event_has_all_fields_of_the_engines() -> None:
    theirs = {event["type"]: event for event in wire.answer("A1", "Hello Ada.", "U1")}
    for event in all_events(answer()):
        missing = theirs[event["type"]].keys() - event.keys()
        assert not missing, event["type"]


def test_every_event_has_an_id_of_its_own() -> None:
    turn = answer()
    events = [*all_events(turn), turn.audio_event(b"ab"), turn.event("conversation.item.truncated")]
    assert len({event["event_id"] for event in events}) == len(events)


def test_a_turn_that_was_cut_off_has_the_status_that_the_engine_would_give() -> None:
    *_, item_done, done = all_events(answer(cut_reason="turn_detected"))
    assert item_done["item"]["status"] == "incomplete"
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}


def test_a_turn_without_text_has_no_transcript() -> None:
    turn = answer()
    assert turn.transcript_events() == []
    part, item, *_ = turn.closing_events()
    assert part["part"] == {"type": "audio"}
    assert item["item"]["content"] == [{"type": "output_audio"}]

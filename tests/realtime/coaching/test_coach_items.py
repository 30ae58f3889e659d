"""Two orders of one conversation: the client's, with a coach in it, and the engine's."""

import pytest

from relay.realtime.coaching.items import CoachItems, CoachTurn
from relay.realtime.events import BadEvent
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event


def turn(number: int, previous: str | None, anchor: str | None) -> CoachTurn:
    return CoachTurn(number, "carol", f"C{number}", f"R{number}", previous, anchor)


def placed(items: CoachItems, *events: Event) -> list[str | None]:
    """What the client sees of each: its predecessor, "hidden" where it does not see it."""
    shown = []
    for event in events:
        items.observe(event, 1.0)
        seen = items.visible(event)
        shown.append("hidden" if seen is None else seen["previous_item_id"])
    return shown


def user(item_id: str, previous: str | None) -> list[Event]:
    return wire.typed(item_id, "Hi.", previous)


def begun() -> tuple[CoachItems, CoachTurn]:
    """U1 was said, then C1."""
    items = CoachItems()
    placed(items, *user("U1", None))
    first = turn(1, "U1", items.tail)
    items.add(first)
    return items, first


def test_what_the_engine_puts_behind_the_last_it_knows_stands_behind_the_coach() -> None:
    items, first = begun()
    assert first.anchor == "U1"
    assert placed(items, *user("U2", "U1")) == ["C1", "C1"]
    assert placed(items, *user("U3", "U2")) == ["U2", "U2"]


def test_once_the_engine_has_it_its_own_word_counts() -> None:
    items, _ = begun()
    assert placed(items, *wire.typed("C1", "Hello.", "U1", "assistant")) == ["hidden", "hidden"]
    assert items.tail == "C1"
    assert placed(items, *user("U2", "C1")) == ["C1", "C1"]
    assert placed(items, *user("U0", "U1")) == ["U1", "U1"], "put between by a client"


def test_two_in_a_row_are_two_in_a_row_for_both() -> None:
    items, first = begun()
    second = turn(2, "C1", items.tail)
    items.add(second)
    assert placed(items, *user("U2", "U1")) == ["C2", "C2"]
    assert items.before(second) == "U1", "the first one's words are not known"
    second.is_sent = True
    assert items.before(first) == "U1"
    first.is_sent = True
    third = turn(3, "U2", items.tail)
    assert third.anchor == "U2"
    assert items.before(turn(4, "C2", "U1")) == "C2"


def test_before_the_first_word_of_all_it_stands_first() -> None:
    items = CoachItems()
    first = turn(1, None, items.tail)
    items.add(first)
    assert items.before(first) == "root"
    assert placed(items, *user("U1", None)) == ["C1", None], "a done without one says nothing"


def test_behind_what_was_deleted_it_goes_to_the_end() -> None:
    items, first = begun()
    placed_there = {"type": "conversation.item.deleted", "item_id": "U1"}
    items.observe(placed_there, 1.0)
    assert items.before(first) is None
    assert items.tail == ""


def test_what_stood_behind_a_deleted_one_moves_up() -> None:
    items, first = begun()
    items.add(turn(2, "C1", items.tail))
    items.delete(first)
    assert placed(items, *user("U2", "U1")) == ["C2", "C2"]


def test_a_client_that_puts_something_behind_it_names_what_the_engine_knows() -> None:
    items, first = begun()
    create = {"type": "conversation.item.create", "previous_item_id": "C1", "item": {}}
    assert items.checked(create)["previous_item_id"] == "U1"
    first.is_sent = True
    assert items.checked(create)["previous_item_id"] == "C1"


def test_what_the_engine_does_not_have_cannot_be_referred_to() -> None:
    items, first = begun()
    given = [{"type": "item_reference", "id": "C1"}]
    create = {"type": "response.create", "response": {"input": given}}
    with pytest.raises(BadEvent, match="does not exist"):
        items.checked(create)
    first.is_sent = True
    assert items.checked(create) is create


def test_its_id_is_taken() -> None:
    items, _ = begun()
    with pytest.raises(BadEvent, match="already exists"):
        items.checked({"type": "conversation.item.create", "item": {"id": "C1"}})

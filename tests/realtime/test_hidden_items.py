"""What is hidden, and what stands before what for who does not see it."""

from typing import Any

import pytest

from relay.realtime.events import BadEvent
from relay.realtime.items import HiddenItems
from tests.realtime import wire_events as wire

Event = dict[str, Any]
NAMES = frozenset({"get_weather"})


def call(item_id: str, name: str = "get_weather") -> Event:
    return {"id": item_id, "type": "function_call", "name": name, "call_id": f"call_{item_id}"}


def output(item_id: str, call_item: str) -> Event:
    return {"id": item_id, "type": "function_call_output", "call_id": f"call_{call_item}"}


def message(item_id: str) -> Event:
    return wire.message(item_id, "assistant")


def added(given: Event, previous: str | None) -> Event:
    return wire.item("added", given, previous)


def seen(items: HiddenItems, *events: Event) -> list[Event]:
    return [items.relinked(event) for event in events if not items.hides(event)]


def before(events: list[Event]) -> dict[str, str | None]:
    return {event["item"]["id"]: event["previous_item_id"] for event in events}


def test_calls_of_these_names_are_hidden_and_so_is_what_answers_them() -> None:
    items = HiddenItems(NAMES)
    shown = seen(
        items,
        added(message("A"), None),
        added(call("F"), "A"),
        added(call("G", "show_map"), "F"),
        added(output("O", "F"), "G"),
        added(output("P", "G"), "O"),
        added(message("B"), "P"),
    )
    assert before(shown) == {"A": None, "G": "A", "P": "G", "B": "P"}


@pytest.mark.parametrize("kind", ["deleted", "truncated", "retrieved"])
def test_whatever_names_a_hidden_item_is_hidden(kind: str) -> None:
    items = HiddenItems(NAMES)
    seen(items, added(call("F"), None))
    about = {"item": {"id": "F"}} if kind == "retrieved" else {"item_id": "F"}
    assert items.hides({"type": f"conversation.item.{kind}", **about})


def test_arguments_are_hidden_by_item_or_by_call_or_by_name() -> None:
    kind = "response.function_call_arguments"
    items = HiddenItems(NAMES)
    assert not items.hides({"type": f"{kind}.delta", "item_id": "F", "call_id": "call_F"})
    named = {"type": f"{kind}.done", "item_id": "F", "call_id": "call_F", "name": "get_weather"}
    assert items.hides(named)
    assert items.hides({"type": f"{kind}.delta", "item_id": "F", "call_id": "other"})
    assert items.hides({"type": f"{kind}.delta", "item_id": "other", "call_id": "call_F"})
    assert not items.hides({**named, "item_id": "G", "call_id": "call_G", "name": "show_map"})


def test_the_visible_items_of_a_response_are_left() -> None:
    items = HiddenItems(NAMES)
    given: list[Any] = [message("A"), call("F"), call("G", "show_map"), "odd"]
    assert items.visible(given) == [given[0], given[2], "odd"]


def test_an_item_that_was_put_between_counts() -> None:
    """A, then F (hidden) after it, then X by the client after A: what follows F follows X."""
    items = HiddenItems(NAMES)
    shown = seen(
        items,
        added(message("A"), None),
        added(call("F"), "A"),
        added(message("X"), "A"),
        added(message("B"), "F"),
    )
    assert before(shown) == {"A": None, "X": "A", "B": "X"}


def test_an_item_that_was_deleted_does_not() -> None:
    items = HiddenItems(NAMES)
    seen(items, added(message("A"), None), added(message("B"), "A"), added(call("F"), "B"))
    deleted = {"type": "conversation.item.deleted", "item_id": "B"}
    assert seen(items, deleted) == [deleted]
    assert before(seen(items, added(message("C"), "F"))) == {"C": "A"}


def test_before_everything_there_is_nothing() -> None:
    items = HiddenItems(NAMES)
    shown = seen(items, added(call("F"), None), added(message("A"), "F"))
    assert before(shown) == {"A": None}


def test_a_spoken_turn_has_its_place_from_when_it_was_committed() -> None:
    """Its id is known from `speech_started`, long before it follows anything."""
    items = HiddenItems(NAMES)
    started, stopped, committed, *rest = wire.spoken_turn("U", "F")
    shown = seen(items, started, added(message("A"), None), added(call("F"), "A"), stopped)
    assert len(shown) == 3
    told = seen(items, committed, *rest)
    assert [event["previous_item_id"] for event in told] == ["A", "A", "A"]
    assert before(seen(items, added(call("G"), "U"), added(message("B"), "G"))) == {"B": "U"}
    seen(items, {"type": "conversation.item.deleted", "item_id": "U"})
    assert before(seen(items, added(message("C"), "G"))) == {"C": "A"}


def test_where_a_hidden_items_place_is_unknown_the_newest_stands_before() -> None:
    items = HiddenItems(NAMES)
    announced = {"type": "response.output_item.added", "item": call("F")}
    seen(items, added(message("A"), None), announced)
    assert before(seen(items, added(message("B"), "F"))) == {"B": "A"}


def test_the_place_that_done_tells_is_not_believed() -> None:
    """It is null where it should not be (PROTOCOL §5.3), and shown as it is."""
    items = HiddenItems(NAMES)
    seen(items, added(message("A"), None), added(call("F"), "A"))
    assert seen(items, wire.item("done", message("B"), None)) != []
    assert before(seen(items, added(message("B"), "F"))) == {"B": "A"}
    assert before(seen(items, wire.item("done", message("B"), "F"))) == {"B": "A"}


def test_an_event_that_is_right_already_is_the_same_object() -> None:
    items = HiddenItems(NAMES)
    event = added(message("A"), None)
    assert items.relinked(event) is event


def test_only_what_is_hidden_is_refused() -> None:
    items = HiddenItems(NAMES)
    seen(items, added(message("A"), None), added(call("F"), "A"))
    items.check({"type": "conversation.item.delete", "item_id": "A"})
    items.check({"type": "conversation.item.create", "item": {"id": "A"}, "previous_item_id": "A"})
    with pytest.raises(BadEvent, match="deleting item: the item with id 'F' does not exist"):
        items.check({"type": "conversation.item.delete", "item_id": "F"})


def test_ids_that_are_no_strings_hide_nothing() -> None:
    items = HiddenItems(NAMES)
    odd: list[Any] = [None, 7, ["F"], {"id": "F"}]
    for value in odd:
        event = {"type": "conversation.item.added", "item_id": value, "call_id": value}
        assert not items.hides({**event, "item": {"id": value, "call_id": value, "name": value}})
        assert items.relinked({**event, "previous_item_id": value})["previous_item_id"] == value
        items.check({"type": "conversation.item.delete", "item_id": value, "item": {"id": value}})

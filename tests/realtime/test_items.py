"""Items of a conversation: hidden ones, injected ones, and their order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.events import BadEvent, Event
from relay.realtime.items import HiddenItems, InjectedItems, ItemOrder, RecentIds, system_item
from relay.realtime.requests import RequestTracker
from tests.realtime import wire_events as wire

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


def test_calls_of_these_names_and_their_outputs_are_hidden() -> None:
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
def test_an_event_about_a_hidden_item_is_hidden(kind: str) -> None:
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


def test_only_visible_items_of_a_response_are_kept() -> None:
    items = HiddenItems(NAMES)
    given: list[Any] = [message("A"), call("F"), call("G", "show_map"), "odd"]
    assert items.visible(given) == [given[0], given[2], "odd"]


def test_an_item_inserted_later_becomes_the_predecessor() -> None:
    """A, then F (hidden) after A, then X inserted after A: an item after F is shown after X."""
    items = HiddenItems(NAMES)
    shown = seen(
        items,
        added(message("A"), None),
        added(call("F"), "A"),
        added(message("X"), "A"),
        added(message("B"), "F"),
    )
    assert before(shown) == {"A": None, "X": "A", "B": "X"}


def test_a_deleted_item_is_no_predecessor() -> None:
    items = HiddenItems(NAMES)
    seen(items, added(message("A"), None), added(message("B"), "A"), added(call("F"), "B"))
    deleted = {"type": "conversation.item.deleted", "item_id": "B"}
    assert seen(items, deleted) == [deleted]
    assert before(seen(items, added(message("C"), "F"))) == {"C": "A"}


def test_behind_a_hidden_item_at_the_front_there_is_no_predecessor() -> None:
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


def test_a_hidden_item_of_unknown_place_counts_as_the_last() -> None:
    items = HiddenItems(NAMES)
    announced = {"type": "response.output_item.added", "item": call("F")}
    seen(items, added(message("A"), None), announced)
    assert before(seen(items, added(message("B"), "F"))) == {"B": "A"}


def test_the_predecessor_that_done_names_is_not_trusted() -> None:
    """It can be null by mistake (PROTOCOL §5.3); it is shown as it is."""
    items = HiddenItems(NAMES)
    seen(items, added(message("A"), None), added(call("F"), "A"))
    assert seen(items, wire.item("done", message("B"), None)) != []
    assert before(seen(items, added(message("B"), "F"))) == {"B": "A"}
    assert before(seen(items, wire.item("done", message("B"), "F"))) == {"B": "A"}


def test_an_event_that_needs_no_change_is_the_same_object() -> None:
    items = HiddenItems(NAMES)
    event = added(message("A"), None)
    assert items.relinked(event) is event


def test_only_events_that_name_a_hidden_item_are_refused() -> None:
    items = HiddenItems(NAMES)
    seen(items, added(message("A"), None), added(call("F"), "A"))
    items.check({"type": "conversation.item.delete", "item_id": "A"})
    items.check({"type": "conversation.item.create", "item": {"id": "A"}, "previous_item_id": "A"})
    with pytest.raises(BadEvent, match="deleting item: the item with id 'F' does not exist"):
        items.check({"type": "conversation.item.delete", "item_id": "F"})


def test_ids_of_other_types_hide_nothing() -> None:
    items = HiddenItems(NAMES)
    odd: list[Any] = [None, 7, ["F"], {"id": "F"}]
    for value in odd:
        event = {"type": "conversation.item.added", "item_id": value, "call_id": value}
        assert not items.hides({**event, "item": {"id": value, "call_id": value, "name": value}})
        assert items.relinked({**event, "previous_item_id": value})["previous_item_id"] == value
        items.check({"type": "conversation.item.delete", "item_id": value, "item": {"id": value}})


NOTE = system_item("Speak slowly.")


def note_added(item_id: str, previous: str | None) -> Event:
    item = {"id": item_id, "type": "message", "role": "system", "status": "completed"}
    return {"type": "conversation.item.added", "previous_item_id": previous, "item": item}


def shown(injected: InjectedItems, event: Event) -> list[Event]:
    return list(injected.from_engine(event, 1.0).events)


def test_an_injected_item_has_an_id_of_the_relay_and_its_error_is_not_shown() -> None:
    requests = RequestTracker()
    event = InjectedItems(requests).create(NOTE)
    assert event["type"] == "conversation.item.create"
    assert event["item"] == {**NOTE, "id": "relay_item_1"}
    error = {"type": "error", "error": {"message": "no", "event_id": event["event_id"]}}
    assert requests.from_engine(error, 1.0).events == []


def test_the_client_sees_no_trace_of_injected_items() -> None:
    injected = InjectedItems(RequestTracker())
    injected.create(NOTE)
    injected.create(NOTE)
    assert shown(injected, note_added("U1", None)) == [note_added("U1", None)]
    assert shown(injected, note_added("relay_item_1", "U1")) == []
    assert shown(injected, note_added("relay_item_2", "relay_item_1")) == []
    assert shown(injected, note_added("A1", "relay_item_2")) == [note_added("A1", "U1")]
    deleted = {"type": "conversation.item.deleted", "item_id": "relay_item_1"}
    assert shown(injected, deleted) == []


def test_the_predecessor_of_the_first_injected_item_is_found() -> None:
    injected = InjectedItems(RequestTracker())
    injected.create(NOTE)
    assert shown(injected, note_added("relay_item_1", "U7")) == []
    assert shown(injected, note_added("A1", "relay_item_1")) == [note_added("A1", "U7")]


def test_behind_an_injected_item_at_the_front_there_is_no_predecessor() -> None:
    injected = InjectedItems(RequestTracker())
    injected.create(NOTE)
    assert shown(injected, note_added("relay_item_1", None)) == []
    assert shown(injected, wire.committed("U1", "relay_item_1")) == [wire.committed("U1", None)]


def test_a_client_that_names_an_injected_item_is_told_that_it_does_not_exist() -> None:
    injected = InjectedItems(RequestTracker())
    injected.from_client({"type": "conversation.item.delete", "item_id": "relay_item_1"}, 1.0)
    injected.create(NOTE)
    with pytest.raises(BadEvent, match="does not exist"):
        injected.from_client({"type": "conversation.item.delete", "item_id": "relay_item_1"}, 1.0)


def order_of(order: ItemOrder, items: list[str]) -> list[str]:
    return sorted(items, key=order.position)


def test_items_stand_after_their_predecessors() -> None:
    order = ItemOrder()
    for item, previous in [("a", None), ("b", "a"), ("d", "b"), ("c", "b")]:
        order.link(item, previous)
    assert order_of(order, ["d", "c", "b", "a"]) == ["a", "b", "c", "d"]
    assert order.neighbours("c") == ("b", "d")
    assert order.neighbours("a") == (None, "b")


def test_root_is_the_front_and_an_unknown_predecessor_the_end() -> None:
    order = ItemOrder()
    for item, previous in [("a", None), ("z", "lost"), ("first", "root")]:
        order.link(item, previous)
    assert order_of(order, ["z", "a", "first"]) == ["first", "a", "z"]


def test_5_3_a_later_null_does_not_move_an_item() -> None:
    order = ItemOrder()
    order.link("a", None)
    order.link("b", "a")
    before = order.position("b")
    order.link("b", None)
    order.link("b", "root")
    assert order.position("b") == before


@given(st.lists(st.integers(min_value=-1, max_value=30), max_size=30))
def test_positions_never_change_and_are_never_shared(previous: list[int]) -> None:
    order, seen = ItemOrder(), dict[str, float]()
    for number, before in enumerate(previous):
        order.link(str(number), "root" if before == -1 else str(before))
        seen[str(number)] = order.position(str(number))
        assert all(order.position(item) == position for item, position in seen.items())
    assert len(set(seen.values())) == len(seen)


def test_the_oldest_id_is_forgotten_and_a_repeated_one_takes_no_room() -> None:
    recent = RecentIds(2)
    for member in ("a", "b", "b"):
        recent.add(member)
    assert "a" in recent
    assert "b" in recent

    recent.add("c")

    assert "a" not in recent
    assert "b" in recent
    assert "c" in recent


def test_only_strings_are_members() -> None:
    recent = RecentIds(2)
    recent.add("1")
    assert 1 not in recent
    assert None not in recent
    assert ["1"] not in recent

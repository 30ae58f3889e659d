"""Items that the relay itself puts into a conversation, and what the client sees of it: nothing."""

import pytest

from relay.realtime.events import BadEvent, Event
from relay.realtime.items import InjectedItems, system_item
from relay.realtime.requests import RequestTracker
from tests.realtime import wire_events as wire

NOTE = system_item("Speak slowly.")


def added(item_id: str, previous: str | None) -> Event:
    item = {"id": item_id, "type": "message", "role": "system", "status": "completed"}
    return {"type": "conversation.item.added", "previous_item_id": previous, "item": item}


def seen(own: InjectedItems, event: Event) -> list[Event]:
    return own.from_engine(event, 1.0).events


def test_an_item_goes_up_under_an_id_of_its_own_and_its_error_is_nobody_elses() -> None:
    requests = RequestTracker()
    event = InjectedItems(requests).create(NOTE)
    assert event["type"] == "conversation.item.create"
    assert event["item"] == {**NOTE, "id": "relay_item_1"}
    error = {"type": "error", "error": {"message": "no", "event_id": event["event_id"]}}
    assert requests.from_engine(error, 1.0).events == []


def test_the_client_sees_no_trace_of_it() -> None:
    own = InjectedItems(RequestTracker())
    own.create(NOTE)
    own.create(NOTE)
    assert seen(own, added("U1", None)) == [added("U1", None)]
    assert seen(own, added("relay_item_1", "U1")) == []
    assert seen(own, added("relay_item_2", "relay_item_1")) == []
    assert seen(own, added("A1", "relay_item_2")) == [added("A1", "U1")]
    deleted = {"type": "conversation.item.deleted", "item_id": "relay_item_1"}
    assert seen(own, deleted) == []


def test_what_came_before_the_first_of_them_is_still_found() -> None:
    own = InjectedItems(RequestTracker())
    own.create(NOTE)
    assert seen(own, added("relay_item_1", "U7")) == []
    assert seen(own, added("A1", "relay_item_1")) == [added("A1", "U7")]


def test_at_the_front_the_next_item_has_no_predecessor() -> None:
    own = InjectedItems(RequestTracker())
    own.create(NOTE)
    assert seen(own, added("relay_item_1", None)) == []
    assert seen(own, wire.committed("U1", "relay_item_1")) == [wire.committed("U1", None)]


def test_a_client_that_guesses_its_id_is_told_that_there_is_no_such_item() -> None:
    own = InjectedItems(RequestTracker())
    own.from_client({"type": "conversation.item.delete", "item_id": "relay_item_1"}, 1.0)
    own.create(NOTE)
    with pytest.raises(BadEvent, match="does not exist"):
        own.from_client({"type": "conversation.item.delete", "item_id": "relay_item_1"}, 1.0)

"""Small changes to an event."""

from relay.engines.cascade.effects import Close, Emit
from relay.simulator.faults.tracking import TrackedEvent, again, changed, ended, instead

SEEN = TrackedEvent(Emit({"type": "x", "event_id": "event_1", "a": 1}), 3, 2, 1)


def test_a_changed_event_keeps_its_place_and_leaves_the_first_alone():
    altered = changed(SEEN, a=2)

    assert altered == TrackedEvent(Emit({"type": "x", "event_id": "event_1", "a": 2}), 3, 2, 1)
    assert SEEN.event["a"] == 1


def test_the_same_once_more_is_an_event_of_its_own():
    assert again(SEEN, lambda prefix: f"{prefix}_2").event == {
        "type": "x",
        "event_id": "event_2",
        "a": 1,
    }


def test_something_else_in_its_place():
    assert instead(SEEN, {"type": "y"}).kind == "y"
    assert ended(SEEN, 1006, "").effect == Close(1006, "")

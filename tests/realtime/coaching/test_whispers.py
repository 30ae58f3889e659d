"""Sentences that a coach has the model say."""

from relay.realtime.coaching.control import MAX_WAITING, SayQueue
from relay.realtime.events import Event
from relay.realtime.requests import RequestTracker


def refused(event_id: object, code: str) -> Event:
    return {"type": "error", "error": {"code": code, "event_id": event_id}}


def test_a_sentence_goes_up_when_the_model_is_free() -> None:
    whispers = SayQueue(RequestTracker())
    whispers.say("Ask her name.")
    assert whispers.release(free=False) == []
    (event,) = whispers.release(free=True)
    assert event["type"] == "response.create"
    assert event["response"]["instructions"].endswith("Ask her name.")
    assert whispers.release(free=True) == []


def test_each_is_an_answer_of_its_own_in_order() -> None:
    whispers = SayQueue(RequestTracker())
    whispers.say("One.")
    whispers.say("Two.")
    (first,) = whispers.release(free=True)
    assert whispers.release(free=True) == [], "the first was not created yet"
    whispers.observe({"type": "response.created"}, 1.0)
    (second,) = whispers.release(free=True)
    assert "One." in first["response"]["instructions"]
    assert "Two." in second["response"]["instructions"]


def test_one_that_met_an_answer_is_said_after_it_and_one_that_is_refused_is_not() -> None:
    whispers = SayQueue(RequestTracker())
    whispers.say("One.")
    (first,) = whispers.release(free=True)
    whispers.observe(refused("somebody-elses", "conversation_already_has_active_response"), 1.0)
    assert whispers.release(free=True) == []
    whispers.observe(refused(first["event_id"], "conversation_already_has_active_response"), 1.0)
    (again,) = whispers.release(free=True)
    assert again["response"] == first["response"]
    whispers.observe(refused(again["event_id"], "invalid_value"), 1.0)
    assert whispers.release(free=True) == []


def test_only_so_many_wait() -> None:
    whispers = SayQueue(RequestTracker())
    for number in range(MAX_WAITING):
        assert not whispers.is_full
        whispers.say(f"{number}")
    assert whispers.is_full

"""Sentences that a coach has the model say next."""

from relay.realtime.coaching.control import MAX_WAITING, SayQueue
from relay.realtime.events import Event
from relay.realtime.requests import RequestTracker


def refused(event_id: object, code: str) -> Event:
    return {"type": "error", "error": {"code": code, "event_id": event_id}}


def test_a_sentence_is_sent_when_the_model_is_free() -> None:
    queue = SayQueue(RequestTracker())
    queue.say("Ask her name.")
    assert queue.release(is_free=False) == []
    (event,) = queue.release(is_free=True)
    assert event["type"] == "response.create"
    assert event["response"]["instructions"].endswith("Ask her name.")
    assert queue.release(is_free=True) == []


def test_each_sentence_is_an_answer_of_its_own_in_order() -> None:
    queue = SayQueue(RequestTracker())
    queue.say("One.")
    queue.say("Two.")
    (first,) = queue.release(is_free=True)
    assert queue.release(is_free=True) == [], "the first was not created yet"
    queue.observe({"type": "response.created"}, 1.0)
    (second,) = queue.release(is_free=True)
    assert "One." in first["response"]["instructions"]
    assert "Two." in second["response"]["instructions"]


def test_a_sentence_refused_during_an_answer_is_retried_and_one_refused_otherwise_is_not() -> None:
    queue = SayQueue(RequestTracker())
    queue.say("One.")
    (first,) = queue.release(is_free=True)
    queue.observe(refused("the-clients", "conversation_already_has_active_response"), 1.0)
    assert queue.release(is_free=True) == []
    queue.observe(refused(first["event_id"], "conversation_already_has_active_response"), 1.0)
    (again,) = queue.release(is_free=True)
    assert again["response"] == first["response"]
    queue.observe(refused(again["event_id"], "invalid_value"), 1.0)
    assert queue.release(is_free=True) == []


def test_the_queue_is_bounded() -> None:
    queue = SayQueue(RequestTracker())
    for number in range(MAX_WAITING):
        assert not queue.is_full
        queue.say(f"{number}")
    assert queue.is_full

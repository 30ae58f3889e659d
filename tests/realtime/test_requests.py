"""Requests of the client and of the relay, and the answers to each."""

from typing import Any

from relay.realtime.requests import RequestTracker

UPDATED: dict[str, Any] = {"type": "session.updated", "session": {}}


def error(event_id: str | None) -> dict[str, Any]:
    return {"type": "error", "error": {"code": "invalid_value", "event_id": event_id}}


def update(event_id: str | None = None) -> dict[str, Any]:
    named = {} if event_id is None else {"event_id": event_id}
    return {"type": "session.update", "session": {}, **named}


def answer(requests: RequestTracker, event: dict[str, Any]) -> list[dict[str, Any]]:
    return list(requests.from_engine(event, 1.0).events)


def cap(requests: RequestTracker, event: dict[str, Any]) -> list[dict[str, Any]]:
    return list(requests.from_client(event, 1.0).events)


def test_the_answer_to_the_relays_own_update_is_not_shown() -> None:
    requests = RequestTracker()
    requests.track(update(), shown=False)
    requests.track(update("c1"), shown=True)
    assert answer(requests, UPDATED) == []
    assert answer(requests, UPDATED) == [UPDATED]
    assert answer(requests, UPDATED) == [UPDATED], "one nobody asked for is shown"


def test_an_update_that_failed_is_no_longer_waited_for() -> None:
    requests = RequestTracker()
    ours = requests.track(update(), shown=False)
    requests.track(update("c1"), shown=True)
    assert answer(requests, error(ours["event_id"])) == [], "the client never asked for it"
    assert answer(requests, UPDATED) == [UPDATED]


def test_a_stamp_is_removed_before_the_client_sees_it() -> None:
    requests = RequestTracker()
    stamped = requests.track(update(), shown=True)
    assert answer(requests, error(stamped["event_id"])) == [error(None)]
    named = requests.track(update("c1"), shown=True)
    assert named["event_id"] == "c1"
    assert answer(requests, error("c1")) == [error("c1")]


def test_everything_else_passes() -> None:
    requests = RequestTracker()
    requests.track(update(), shown=False)
    for event in ({"type": "response.done"}, error(None), {"type": "error", "error": "?"}):
        assert answer(requests, event) == [event]
    assert answer(requests, UPDATED) == []


def test_a_client_cannot_keep_more_of_an_item_than_the_relay_left() -> None:
    requests = RequestTracker()
    cut = {"type": "conversation.item.truncate", "item_id": "A1", "content_index": 0}
    requests.stamp({**cut, "audio_end_ms": 2588})
    assert cap(requests, {**cut, "audio_end_ms": 2599}) == [{**cut, "audio_end_ms": 2588}]
    assert cap(requests, {**cut, "audio_end_ms": 2000}) == [{**cut, "audio_end_ms": 2000}]
    other = {**cut, "item_id": "A2", "audio_end_ms": 9000}
    assert cap(requests, other) == [other]
    assert cap(requests, {"type": "response.create"}) == [{"type": "response.create"}]

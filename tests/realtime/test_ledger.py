"""Whose answer is whose."""

from typing import Any

from relay.realtime.requests import RequestTracker

UPDATED: dict[str, Any] = {"type": "session.updated", "session": {}}


def error(event_id: str | None) -> dict[str, Any]:
    return {"type": "error", "error": {"code": "invalid_value", "event_id": event_id}}


def update(event_id: str | None = None) -> dict[str, Any]:
    named = {} if event_id is None else {"event_id": event_id}
    return {"type": "session.update", "session": {}, **named}


def test_the_answer_to_the_relays_own_update_is_not_shown() -> None:
    ledger = RequestTracker()
    ledger.asked(update(), shown=False)
    ledger.asked(update("c1"), shown=True)
    assert ledger.answered(UPDATED) is None
    assert ledger.answered(UPDATED) == UPDATED
    assert ledger.answered(UPDATED) == UPDATED, "one nobody asked for is shown"


def test_an_update_that_failed_is_not_waited_for() -> None:
    ledger = RequestTracker()
    ours = ledger.asked(update(), shown=False)
    ledger.asked(update("c1"), shown=True)
    assert ledger.answered(error(ours["event_id"])) is None, "the client never asked for it"
    assert ledger.answered(UPDATED) == UPDATED


def test_a_stamp_of_ours_is_taken_off_before_the_client_sees_it() -> None:
    ledger = RequestTracker()
    stamped = ledger.asked(update(), shown=True)
    assert ledger.answered(error(stamped["event_id"])) == error(None)
    named = ledger.asked(update("c1"), shown=True)
    assert named["event_id"] == "c1"
    assert ledger.answered(error("c1")) == error("c1")


def test_everything_else_passes() -> None:
    ledger = RequestTracker()
    ledger.asked(update(), shown=False)
    for event in ({"type": "response.done"}, error(None), {"type": "error", "error": "?"}):
        assert ledger.answered(event) == event
    assert ledger.answered(UPDATED) is None


def test_what_the_relay_cut_already_a_client_cannot_cut_to_be_longer() -> None:
    ledger = RequestTracker()
    cut = {"type": "conversation.item.truncate", "item_id": "A1", "content_index": 0}
    ledger.own({**cut, "audio_end_ms": 2588})
    assert ledger.capped({**cut, "audio_end_ms": 2599})["audio_end_ms"] == 2588
    assert ledger.capped({**cut, "audio_end_ms": 2000})["audio_end_ms"] == 2000
    other = {**cut, "item_id": "A2", "audio_end_ms": 9000}
    assert ledger.capped(other) == other
    assert ledger.capped({"type": "response.create"}) == {"type": "response.create"}

"""Sessions that end early, not at all, or right after the upgrade."""

import math

import pytest

from relay.engines.cascade.effects import Close
from relay.engines.cascade.machine import EXPIRED
from relay.simulator.faults import (
    Condition,
    InBandRefusal,
    SessionCut,
    SessionExpired,
    SessionStalled,
)
from relay.simulator.faults.sessions import in_band_refusal
from tests.engines.cascade.driving import UNIX, scripted, types
from tests.simulator.faults.faulty import faulty


@pytest.mark.parametrize(
    ("error", "close"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_a_session_expires_with_an_error_a_close_or_both(error: bool, close: bool):
    talk = faulty(SessionExpired(seconds=5, error=error, close=close))
    assert talk.events[0]["session"]["expires_at"] == UNIX + 5
    talk.forget()
    assert talk.wait(4.9) == []

    talk.wait(0.2)

    codes = [event["error"]["code"] for event in talk.of("error")]
    assert codes == (["session_expired"] if error else [])
    assert talk.closed == (Close(1001, EXPIRED) if close else None)


def test_a_session_that_expired_without_a_close_says_nothing_more():
    talk = faulty(SessionExpired(seconds=5, close=False))
    talk.type("Hello")
    talk.say("response.create")
    talk.wait(6)
    talk.forget()

    talk.say("response.create")
    talk.do_work()

    assert talk.finish() == []
    assert talk.events == []
    assert talk.machine.deadline(talk.now) == math.inf


def test_a_session_that_expired_in_the_middle_of_an_answer_has_no_deadline():
    talk = faulty(SessionExpired(seconds=5, close=False), parts=scripted(replies=("x" * 999,)))
    talk.type("Hello")
    talk.say("response.create")
    talk.do_work()

    talk.wait(4.99)
    assert talk.of("response.done") == []
    talk.wait(0.02)

    assert talk.last("error")["error"]["code"] == "session_expired"
    assert talk.machine.deadline(talk.now) == math.inf


def test_the_shortest_of_several_expiries_counts():
    talk = faulty(SessionExpired(seconds=9), SessionExpired(seconds=3))

    talk.wait(4)

    assert talk.closed == Close(1001, EXPIRED)


def test_a_session_that_goes_silent():
    talk = faulty(SessionStalled(after_events=3))
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    assert types(talk.events) == [
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert talk.closed is None
    talk.wait(4000)
    assert talk.closed is None  # even the hour passes without a word


def test_a_session_that_never_speaks():
    talk = faulty(SessionStalled(after_events=0))

    assert talk.events == []


def test_a_session_that_is_cut():
    talk = faulty(SessionCut(after_events=2, only=Condition(session=1)))
    talk.type("Hello")

    assert len(talk.events) == 2
    assert talk.closed == Close(1006, "")


@pytest.mark.parametrize(
    ("code", "close"),
    [
        ("invalid_api_key", 3000),
        ("missing_model", 4000),
        ("invalid_model", 4000),
        ("beta_api_shape_disabled", 4000),
        ("model_not_found", 4000),
    ],
)
def test_codes_close_as_openai_closes_them(code: str, close: int):
    refused = in_band_refusal(InBandRefusal(code=code))

    assert (refused.refusal.code, refused.code) == (code, close)
    assert refused.refusal.message


def test_a_script_may_say_otherwise():
    refused = in_band_refusal(
        InBandRefusal(code="model_not_found", message="No such model.", close=4004)
    )

    assert (refused.code, refused.refusal.message) == (4004, "No such model.")

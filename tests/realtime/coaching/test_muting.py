"""Muting the model, with the client's view of the session kept whole."""

from typing import Any

from relay.realtime.coaching.muting import ModelMuting
from relay.realtime.effects import RuleOutcome
from relay.realtime.events import Event
from tests.realtime import wire_events as wire

VAD = {"type": "server_vad", "threshold": 0.5, "create_response": True, "idle_timeout_ms": 6000}
QUIET = {**VAD, "create_response": False, "idle_timeout_ms": None}


def configured(turn_detection: Any, kind: str = "session.created") -> Event:
    return {
        "type": kind,
        "session": {"id": "sess_1", "audio": {"input": {"turn_detection": turn_detection}}},
    }


def update(turns: Any) -> Event:
    session = {"type": "realtime", "audio": {"input": {"turn_detection": turns}}}
    return {"type": "session.update", "session": session}


def done(response: str) -> Event:
    return {"type": "response.done", "response": {"id": response, "status": "completed"}}


def muting(turns: Any = VAD) -> ModelMuting:
    rules = ModelMuting()
    rules.from_engine(configured(turns), 1.0)
    return rules


def test_muted_turn_detection_goes_on_but_triggers_no_response() -> None:
    rules = muting()
    assert rules.mute() == [update(QUIET)]
    assert rules.mute() == [], "a repeat changes nothing"
    assert rules.unmute() == [update(VAD)]
    assert rules.unmute() == []


def test_without_turn_detection_the_engine_is_sent_nothing() -> None:
    rules = muting(None)
    assert rules.mute() == []
    assert rules.is_muted
    assert rules.unmute() == []


def test_only_responses_in_progress_are_cancelled() -> None:
    rules = muting(None)
    for event in (wire.response_created("R1"), wire.response_created("R2"), done("R1")):
        rules.from_engine(event, 1.0)
    assert rules.mute() == [{"type": "response.cancel", "response_id": "R2"}]


def test_a_response_that_begins_while_muted_is_cancelled() -> None:
    rules = muting()
    rules.mute()
    outcome = rules.from_engine(wire.response_created("R1"), 1.0)
    assert outcome.events == [wire.response_created("R1")]
    assert outcome.replies == [{"type": "response.cancel", "response_id": "R1"}]


def test_a_client_that_asks_while_muted_gets_a_cancelled_response() -> None:
    rules = muting()
    rules.mute()
    wish = {"type": "response.create", "response": {"metadata": {"turn": "3"}}}
    kept = rules.from_client(wish, 1.0)
    assert not kept.events
    created, ended = kept.replies
    assert (created["type"], ended["type"]) == ("response.created", "response.done")
    assert created["response"]["id"] == ended["response"]["id"]
    assert ended["response"]["status"] == "cancelled"
    assert ended["response"]["metadata"] == {"turn": "3"}
    again = rules.from_client({"type": "response.create"}, 1.0).replies[0]
    assert again["response"]["id"] != created["response"]["id"]


def test_turn_detection_that_a_client_sets_while_muted_counts_after_it() -> None:
    rules = muting()
    rules.mute()
    wish = {"type": "semantic_vad", "create_response": True, "eagerness": "low"}
    (told,) = rules.from_client(update(wish), 1.0).events
    assert told["session"]["audio"]["input"]["turn_detection"]["create_response"] is False
    answer = configured({**wish, "create_response": False}, "session.updated")
    (seen,) = rules.from_engine(answer, 1.0).events
    assert seen["session"]["audio"]["input"]["turn_detection"]["create_response"] is True
    (restored,) = rules.unmute()
    turns = restored["session"]["audio"]["input"]["turn_detection"]
    assert (turns["type"], turns["create_response"], turns["eagerness"]) == (
        "semantic_vad",
        True,
        "low",
    )


def test_a_client_that_had_turned_responses_off_gets_none_afterwards() -> None:
    rules = muting({**VAD, "create_response": False})
    rules.mute()
    (restored,) = rules.unmute()
    assert restored["session"]["audio"]["input"]["turn_detection"]["create_response"] is False


def test_all_other_events_pass() -> None:
    rules = muting()
    rules.mute()
    for event in (
        {"type": "input_audio_buffer.commit"},
        {"type": "session.update", "session": {"type": "realtime", "instructions": "x"}},
        update(None),
    ):
        assert rules.from_client(event, 1.0).events == [event]
    committed = wire.committed("U1", None)
    assert rules.from_engine(committed, 1.0) == RuleOutcome([committed])


def test_a_response_that_the_relay_owes_is_asked_for_after_unmuting() -> None:
    rules = muting(None)
    rules.mute()
    owed = {"type": "response.create", "event_id": "relay-tool-1"}
    rules.owe(owed)
    assert rules.unmute() == [owed]
    rules.mute()
    assert rules.unmute() == [], "once"


def test_an_engine_muted_before_its_session_began_is_muted_when_it_begins() -> None:
    rules = ModelMuting()
    assert rules.mute() == []
    assert rules.from_engine(configured(VAD), 1.0) == RuleOutcome(
        [configured(VAD)], [update(QUIET)]
    )

"""Coaches' commands as state: pause, takeover, whispers, and who may do what when."""

import json

from relay.realtime.coaching.control import CoachControl, CommandResult
from relay.realtime.effects import Effect, ToEngine
from relay.realtime.events import Event
from relay.realtime.items import InjectedItems
from relay.realtime.requests import RequestTracker
from tests.realtime import wire_events as wire
from tests.realtime.coaching.test_muting import VAD, configured, done


def control() -> CoachControl:
    requests = RequestTracker()
    rules = CoachControl(requests, InjectedItems(requests))
    rules.from_engine(configured(VAD), 1.0)
    return rules


def sent(effects: list[Effect]) -> list[Event]:
    assert all(isinstance(effect, ToEngine) for effect in effects)
    return [json.loads(bytes(e.frame)) for e in effects if isinstance(e, ToEngine)]


def types(effects: list[Effect]) -> list[str]:
    return [event["type"] for event in sent(effects)]


def test_a_pause_cancels_the_answer_and_a_resume_asks_for_none() -> None:
    rules = control()
    rules.from_engine(wire.response_created("R1"), 1.0)
    result = rules.pause()
    assert (result.outcome, types(result.effects)) == (
        "done",
        ["response.cancel", "session.update"],
    )
    assert rules.pause() == CommandResult("nothing")
    result = rules.resume()
    assert (result.outcome, types(result.effects)) == ("done", ["session.update"])
    assert rules.resume() == CommandResult("nothing")


def test_one_coach_has_the_floor_and_only_that_coach_or_an_admin_gives_it_back() -> None:
    rules = control()
    assert rules.take_over("carol").outcome == "done"
    assert rules.take_over("carol").outcome == "nothing"
    assert rules.take_over("dave").outcome == "busy"
    assert rules.release("dave").outcome == "busy"
    assert rules.release("dave", by_force=True).outcome == "done"
    assert rules.release("carol").outcome == "nothing"
    assert not rules.is_muted


def test_a_model_paused_and_taken_over_is_muted_until_both_end() -> None:
    rules = control()
    rules.pause()
    assert types(rules.take_over("carol").effects) == [], "it is muted already"
    assert types(rules.release("carol").effects) == []
    assert rules.is_muted
    assert types(rules.resume().effects) == ["session.update"]


def test_a_whisper_is_a_hidden_item_also_while_the_model_is_muted() -> None:
    rules = control()
    rules.pause()
    result = rules.whisper("She is shy.", "context")
    (event,) = sent(result.effects)
    assert result.outcome == "done"
    assert event["item"]["role"] == "system"
    assert event["item"]["content"][0]["text"] == "She is shy."


def test_a_sentence_to_say_waits_for_the_running_answer() -> None:
    rules = control()
    rules.from_engine(wire.response_created("R1"), 1.0)
    assert rules.whisper("Ask her name.", "say") == CommandResult("done")
    replies = rules.from_engine(done("R1"), 1.0).replies
    assert [event["type"] for event in replies] == ["response.create"]


def test_a_muted_model_cannot_be_made_to_say_a_sentence() -> None:
    rules = control()
    rules.pause()
    assert rules.whisper("Ask her name.", "say") == CommandResult("muted")


def test_too_many_sentences_are_refused() -> None:
    rules = control()
    rules.from_engine(wire.response_created("R1"), 1.0)
    outcomes = {rules.whisper(f"{number}", "say").outcome for number in range(8)}
    assert outcomes == {"done"}
    assert rules.whisper("One more.", "say") == CommandResult("busy")

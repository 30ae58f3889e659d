"""What coaches may do to a session, and when."""

import json

from relay.realtime.coaching.control import CoachControl
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


def asked(actions: list[Effect]) -> list[Event]:
    assert all(isinstance(action, ToEngine) for action in actions)
    return [json.loads(bytes(a.frame)) for a in actions if isinstance(a, ToEngine)]


def types(actions: list[Effect]) -> list[str]:
    return [event["type"] for event in asked(actions)]


def test_a_pause_cancels_the_answer_and_a_resume_asks_for_none() -> None:
    rules = control()
    rules.from_engine(wire.response_created("R1"), 1.0)
    outcome, actions = rules.pause()
    assert (outcome, types(actions)) == ("done", ["response.cancel", "session.update"])
    assert rules.pause() == ("nothing", [])
    outcome, actions = rules.resume()
    assert (outcome, types(actions)) == ("done", ["session.update"])
    assert rules.resume() == ("nothing", [])


def test_one_coach_speaks_at_a_time_and_who_came_first_gives_it_back() -> None:
    rules = control()
    assert rules.take_over("carol")[0] == "done"
    assert rules.take_over("carol")[0] == "nothing"
    assert rules.take_over("dave")[0] == "busy"
    assert rules.release("dave")[0] == "busy"
    assert rules.release("dave", by_force=True)[0] == "done"
    assert rules.release("carol")[0] == "nothing"
    assert not rules.is_muted


def test_paused_and_taken_over_the_model_waits_for_both_to_end() -> None:
    rules = control()
    rules.pause()
    assert types(rules.take_over("carol")[1]) == [], "it is silent already"
    assert types(rules.release("carol")[1]) == []
    assert rules.is_muted
    assert types(rules.resume()[1]) == ["session.update"]


def test_a_whisper_is_a_hidden_item_also_while_the_model_is_silent() -> None:
    rules = control()
    rules.pause()
    outcome, actions = rules.whisper("She is shy.", "context")
    (event,) = asked(actions)
    assert outcome == "done"
    assert event["item"]["role"] == "system"
    assert event["item"]["content"][0]["text"] == "She is shy."


def test_a_sentence_to_say_waits_for_the_running_answer() -> None:
    rules = control()
    rules.from_engine(wire.response_created("R1"), 1.0)
    assert rules.whisper("Ask her name.", "say") == ("done", [])
    replies = rules.from_engine(done("R1"), 1.0).replies
    assert [event["type"] for event in replies] == ["response.create"]


def test_a_silent_model_says_nothing_for_anybody() -> None:
    rules = control()
    rules.pause()
    assert rules.whisper("Ask her name.", "say") == ("muted", [])


def test_too_many_sentences_are_refused() -> None:
    rules = control()
    rules.from_engine(wire.response_created("R1"), 1.0)
    outcomes = {rules.whisper(f"{number}", "say")[0] for number in range(8)}
    assert outcomes == {"done"}
    assert rules.whisper("One more.", "say") == ("busy", [])

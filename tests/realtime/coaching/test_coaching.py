"""A coach's commands in the middle of a conversation."""

import base64

import pytest

from relay.realtime.coaching.control import CommandResult
from relay.realtime.core import SessionCore
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.effects import Effect, Flush, RecordUtterance
from tests.realtime import wire_events as wire
from tests.realtime.coaching.test_muting import VAD, configured
from tests.realtime.test_conversation import asked, conversation, from_engine, seen

SECOND = base64.b64encode(bytes(48_000)).decode()


def answering(view: ClientDialect | None = None, **granted: bool) -> SessionCore:
    """The model is two seconds into an answer of which all eight seconds were sent."""
    rules = conversation(view, **granted)
    from_engine(rules, configured(VAD, "session.updated"))
    from_engine(rules, configured(VAD, "session.updated"))
    for event in wire.answer("A1", "One two three four five six seven eight.", None)[:8]:
        from_engine(rules, event, 10.0)
    rules.playout.received("A1", 8000)
    rules.playout.sent("A1", 8000, 10.0)
    rules.transcript.add_audio("A1", 8000)
    return rules


def kinds(actions: list[Effect]) -> list[str]:
    return [event["type"] for event in asked(actions)]


def test_a_pause_silences_the_model_and_tells_it_what_was_heard() -> None:
    rules = answering(relay_events=True)
    obeyed = rules.coaching.pause(12.1)
    assert obeyed.outcome == "done"
    assert kinds(obeyed.actions) == [
        "response.cancel",
        "session.update",
        "conversation.item.truncate",
    ]
    assert asked(obeyed.actions)[-1]["audio_end_ms"] == 2000
    assert any(isinstance(action, Flush) for action in obeyed.actions)
    assert [event["type"] for event in seen(obeyed.actions)] == ["relay.paused"]


@pytest.mark.parametrize("view", [GaDialect(), BrowserDialect()])
def test_a_client_that_knows_nothing_of_us_flushes_its_player_all_the_same(
    view: ClientDialect,
) -> None:
    actions = answering(view).coaching.pause(12.1).actions
    assert [event["type"] for event in seen(actions)] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
    ]


def test_with_nothing_playing_nobody_is_interrupted() -> None:
    rules = conversation()
    assert seen(rules.coaching.pause(12.1).actions) == []


def test_a_repeat_changes_nothing() -> None:
    rules = answering(relay_events=True)
    assert rules.coaching.pause(12.1).outcome == "done"
    assert rules.coaching.pause(12.2) == CommandResult("nothing")
    assert rules.coaching.resume().outcome == "done"
    assert rules.coaching.resume() == CommandResult("nothing")


def test_while_paused_the_learner_is_still_written_down() -> None:
    rules = answering()
    rules.coaching.pause(12.1)
    settled = []
    for event in (*wire.spoken_turn("U1", "A1"), wire.heard("U1", "Hello? Anybody?")):
        settled += [a for a in from_engine(rules, event, 15.0) if isinstance(a, RecordUtterance)]
    assert [action.utterance.text for action in settled][-1] == "Hello? Anybody?"


def test_a_resume_is_told_and_asks_for_no_greeting() -> None:
    rules = answering(relay_events=True)
    rules.coaching.pause(12.1)
    actions = rules.coaching.resume().actions
    assert kinds(actions) == ["session.update"]
    assert [event["type"] for event in seen(actions)] == ["relay.resumed"]


def test_a_takeover_shows_that_a_person_is_there_until_it_is_released() -> None:
    rules = answering(relay_events=True)
    taken = rules.coaching.take_over("carol", 12.1)
    assert seen(taken.actions) == [{"type": "relay.coach", "speaking": True, "present": True}]
    assert rules.coaching.take_over("dave", 12.2).outcome == "busy"
    released = rules.coaching.release("carol")
    assert seen(released.actions) == [{"type": "relay.coach", "speaking": False, "present": False}]
    assert kinds(released.actions) == ["session.update"]


def test_a_whisper_is_seen_by_the_model_alone() -> None:
    rules = answering(relay_events=True)
    actions = rules.coaching.whisper("She is shy.", "context").actions
    assert seen(actions) == []
    (event,) = asked(actions)
    item = {**event["item"], "status": "completed"}
    for shown in (wire.item("added", item, "A1"), wire.item("done", item, "A1")):
        assert seen(from_engine(rules, shown)) == []


def test_who_only_listens_is_shown_to_the_learner_too() -> None:
    coaching = conversation(relay_events=True).coaching
    came = seen(coaching.listens(True))
    assert came == [{"type": "relay.coach", "speaking": False, "present": True}]
    assert seen(coaching.take_over("carol", 1.0).actions)[0]["speaking"] is True
    released = seen(coaching.release("carol").actions)
    assert released == [{"type": "relay.coach", "speaking": False, "present": True}]
    assert coaching.listens(True) == [], "known already"
    gone = seen(coaching.listens(False))
    assert gone == [{"type": "relay.coach", "speaking": False, "present": False}]
    assert seen(conversation().coaching.listens(True)) == [], "whoever knows of it"

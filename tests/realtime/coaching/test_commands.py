"""Coaches' commands in the middle of a session, as the engine and the client see them."""

import base64
from typing import Any

import pytest

from relay.realtime.coaching.control import CommandResult
from relay.realtime.core import SessionCore
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.effects import Effect, Flush, RecordUtterance
from tests.realtime import wire_events as wire
from tests.realtime.coaching.test_muting import VAD, configured
from tests.realtime.session_core import from_engine, new_core, to_client, to_engine

SECOND = base64.b64encode(bytes(48_000)).decode()


def answering(dialect: ClientDialect | None = None, **granted: Any) -> SessionCore:
    """The model is two seconds into an answer of which all eight seconds were sent."""
    core = new_core(dialect, **granted)
    from_engine(core, configured(VAD, "session.updated"))
    from_engine(core, configured(VAD, "session.updated"))
    for event in wire.answer("A1", "One two three four five six seven eight.", None)[:8]:
        from_engine(core, event, 10.0)
    core.playout.received("A1", 8000)
    core.playout.sent("A1", 8000, 10.0)
    core.transcript.add_audio("A1", 8000)
    return core


def kinds(effects: list[Effect]) -> list[str]:
    return [event["type"] for event in to_engine(effects)]


def test_a_pause_mutes_the_model_and_tells_it_what_was_heard() -> None:
    core = answering(relay_events=True)
    result = core.commands.pause(12.1)
    assert result.outcome == "done"
    assert kinds(result.effects) == [
        "response.cancel",
        "session.update",
        "conversation.item.truncate",
    ]
    assert to_engine(result.effects)[-1]["audio_end_ms"] == 2000
    assert any(isinstance(effect, Flush) for effect in result.effects)
    assert [event["type"] for event in to_client(result.effects)] == ["relay.paused"]


@pytest.mark.parametrize("dialect", [GaDialect(), BrowserDialect()])
def test_a_client_that_does_not_know_relay_events_is_made_to_flush_its_player(
    dialect: ClientDialect,
) -> None:
    effects = answering(dialect).commands.pause(12.1).effects
    assert [event["type"] for event in to_client(effects)] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
    ]


def test_with_nothing_playing_the_client_is_sent_no_interruption() -> None:
    core = new_core()
    assert to_client(core.commands.pause(12.1).effects) == []


def test_a_repeat_changes_nothing() -> None:
    core = answering(relay_events=True)
    assert core.commands.pause(12.1).outcome == "done"
    assert core.commands.pause(12.2) == CommandResult("nothing")
    assert core.commands.resume().outcome == "done"
    assert core.commands.resume() == CommandResult("nothing")


def test_while_paused_the_learner_is_still_transcribed() -> None:
    core = answering()
    core.commands.pause(12.1)
    records = []
    for event in (*wire.spoken_turn("U1", "A1"), wire.heard("U1", "Hello? Are you there?")):
        records += [a for a in from_engine(core, event, 15.0) if isinstance(a, RecordUtterance)]
    assert [record.utterance.text for record in records][-1] == "Hello? Are you there?"


def test_a_resume_is_shown_and_asks_for_no_greeting() -> None:
    core = answering(relay_events=True)
    core.commands.pause(12.1)
    effects = core.commands.resume().effects
    assert kinds(effects) == ["session.update"]
    assert [event["type"] for event in to_client(effects)] == ["relay.resumed"]


def test_a_takeover_is_shown_to_the_learner_until_it_is_released() -> None:
    core = answering(relay_events=True)
    taken = core.commands.take_over("carol", 12.1)
    assert to_client(taken.effects) == [{"type": "relay.coach", "speaking": True, "present": True}]
    assert core.commands.take_over("dave", 12.2).outcome == "busy"
    released = core.commands.release("carol")
    assert to_client(released.effects) == [
        {"type": "relay.coach", "speaking": False, "present": False}
    ]
    assert kinds(released.effects) == ["session.update"]


def test_a_whisper_is_seen_by_the_model_alone() -> None:
    core = answering(relay_events=True)
    effects = core.control.whisper("She is shy.", "context").effects
    assert to_client(effects) == []
    (event,) = to_engine(effects)
    item = {**event["item"], "status": "completed"}
    for shown in (wire.item("added", item, "A1"), wire.item("done", item, "A1")):
        assert to_client(from_engine(core, shown)) == []


def test_a_coach_who_only_listens_is_shown_to_the_learner_too() -> None:
    commands = new_core(relay_events=True).commands
    joined = to_client(commands.set_listening(True))
    assert joined == [{"type": "relay.coach", "speaking": False, "present": True}]
    assert to_client(commands.take_over("carol", 1.0).effects)[0]["speaking"] is True
    released = to_client(commands.release("carol").effects)
    assert released == [{"type": "relay.coach", "speaking": False, "present": True}]
    assert commands.set_listening(True) == [], "a repeat"
    left = to_client(commands.set_listening(False))
    assert left == [{"type": "relay.coach", "speaking": False, "present": False}]
    assert to_client(new_core().commands.set_listening(True)) == [], (
        "only to clients that know relay events"
    )

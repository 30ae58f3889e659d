"""A coach speaks in mid-session: what the learner hears, the record keeps and the model gets."""

from typing import Any

import pytest

from relay.realtime.billing.usage import Usage
from relay.realtime.coaching.speech import TRANSCRIPT_SECONDS
from relay.realtime.core import SessionCore
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.effects import (
    Effect,
    PlayCoachAudio,
    RecordUsage,
    RecordUtterance,
    TranscribeCoachAudio,
)
from relay.realtime.events import encode
from relay.realtime.records import Utterance
from tests.realtime import wire_events as wire
from tests.realtime.session_core import from_engine, new_core, to_client, to_engine
from tests.realtime.test_server_tools_in_core import TOOL
from tests.realtime.wire_events import Event

LOUD = b"\x00\x20" * 480  # 20 ms
QUIET = bytes(960)
WORD, PAUSE = LOUD * 50, QUIET * 40


def taken_over(dialect: ClientDialect | None = None, **given: Any) -> SessionCore:
    """A session in which U1 and A1 were said and Carol has taken the floor."""
    core = new_core(dialect, **given)
    for event in (*wire.spoken_turn("U1", None), wire.heard("U1", "Help!")):
        from_engine(core, event)
    for event in wire.answer("A1", "Yes?", "U1"):
        from_engine(core, event)
    core.commands.take_over("carol", 5.0)
    return core


def from_client(core: SessionCore, event: Event, now: float = 12.0) -> list[Effect]:
    return core.from_client(encode(event), now)


def kinds(effects: list[Effect]) -> list[str]:
    return [event["type"] for event in to_client(effects)]


def said(effects: list[Effect]) -> list[Utterance]:
    return [effect.utterance for effect in effects if isinstance(effect, RecordUtterance)]


def heard(effects: list[Effect]) -> int:
    """Milliseconds of audio sent to the learner."""
    return sum(effect.ms for effect in effects if isinstance(effect, PlayCoachAudio))


def spoken(core: SessionCore, now: float = 10.0) -> tuple[str, list[Effect]]:
    """Let Carol say one turn; returns its item id and its effects."""
    effects = core.coach_audio("carol", WORD + PAUSE, now)
    return next(e.item_id for e in effects if isinstance(e, PlayCoachAudio)), effects


def test_audio_becomes_an_answer_that_ends_with_its_transcript() -> None:
    core = taken_over()
    item_id, effects = spoken(core)
    assert kinds(effects) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
    ]
    added = to_client(effects)[2]
    assert (added["previous_item_id"], added["item"]["id"]) == ("A1", item_id)
    assert heard(effects) == 1000 + 700
    transcribed = [effect for effect in effects if isinstance(effect, TranscribeCoachAudio)]
    assert len(b"".join(effect.pcm or b"" for effect in transcribed)) == 48 * 1700
    assert transcribed[-1] == TranscribeCoachAudio(1, None)
    ended = core.coach_speech.transcribed(1, "Hello Ada.", 11.0)
    assert kinds(ended) == [
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    (utterance,) = said(ended)
    assert (utterance.text, utterance.coach_id, utterance.role) == (
        "Hello Ada.",
        "carol",
        "assistant",
    )
    assert (utterance.state, utterance.audio_ms) == ("final", 1700)


def test_the_engine_is_sent_the_text_as_the_models_own() -> None:
    core = taken_over()
    item_id, _ = spoken(core)
    (create,) = to_engine(core.coach_speech.transcribed(1, "Hello Ada.", 11.0))
    assert create["type"] == "conversation.item.create"
    assert create["previous_item_id"] == "A1"
    assert create["item"]["id"] == item_id
    assert create["item"]["content"] == [{"type": "output_text", "text": "Hello Ada."}]
    refusal = {"type": "error", "error": {"event_id": create["event_id"], "message": "No."}}
    assert to_client(from_engine(core, refusal)) == [], "errors about it are not for the client"


def test_a_beta_client_hears_the_same_under_beta_names() -> None:
    core = taken_over(BrowserDialect())
    _, effects = spoken(core)
    assert "conversation.item.created" in kinds(effects)
    assert kinds(effects)[-1] == "response.audio.done"
    frame = next(bytes(e.frame) for e in effects if isinstance(e, PlayCoachAudio))
    assert b'"type":"response.audio.delta"' in frame


def test_a_transcript_that_misses_the_end_of_its_answer_follows_it() -> None:
    core = taken_over()
    spoken(core, 10.0)
    assert core.next_deadline() <= 10.0 + TRANSCRIPT_SECONDS
    assert kinds(core.on_deadline(10.0 + TRANSCRIPT_SECONDS - 0.1)) == []
    ended = core.on_deadline(10.0 + TRANSCRIPT_SECONDS)
    assert kinds(ended)[-1] == "response.done"
    assert said(ended) == [], "without text there is no utterance"
    late = core.coach_speech.transcribed(1, "Hello Ada.", 20.0)
    assert kinds(late) == [
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
    ]
    assert [(u.text, u.coach_id) for u in said(late)] == [("Hello Ada.", "carol")]
    assert [event["type"] for event in to_engine(late)] == ["conversation.item.create"]
    assert core.coach_speech.transcribed(1, "Again.", 21.0) == []


def test_a_failed_transcription_ends_the_answer_without_text_and_the_engine_is_sent_nothing() -> (
    None
):
    core = taken_over()
    spoken(core)
    ended = core.coach_speech.transcribed(1, None, 11.0)
    assert kinds(ended)[-1] == "response.done"
    assert to_engine(ended) == []
    assert said(ended) == []


def test_only_the_coach_who_has_the_floor_is_heard() -> None:
    core = taken_over()
    assert core.coach_audio("dave", WORD, 10.0) == []
    core.commands.release("carol")
    assert core.coach_audio("carol", WORD, 11.0) == []


def test_a_learner_with_another_audio_format_hears_no_coach() -> None:
    core = taken_over()
    audio = {"output": {"format": {"type": "audio/pcmu"}}}
    from_engine(core, {"type": "session.updated", "event_id": "e", "session": {"audio": audio}})
    assert core.coach_audio("carol", WORD, 10.0) == []


def test_a_coach_who_stops_sending_has_stopped_speaking() -> None:
    core = taken_over()
    core.coach_audio("carol", WORD, 10.0)
    assert core.coach_speech.next() == pytest.approx(10.7)
    assert core.next_deadline() <= 10.7
    assert kinds(core.on_deadline(10.7)) == ["response.output_audio.done"]


def test_the_learner_interrupts_and_the_coach_goes_on_in_a_new_answer() -> None:
    core = taken_over()
    effects = core.coach_audio("carol", WORD, 10.0)
    first = next(e.item_id for e in effects if isinstance(e, PlayCoachAudio))
    core.playout.received(first, 1000)
    core.playout.sent(first, 1000, 10.0)
    cut = from_engine(core, wire.speech_started("U2"), 10.5)
    assert kinds(cut) == ["input_audio_buffer.speech_started", "response.output_audio.done"]
    assert to_engine(cut) == [], "the engine has no such item to truncate"
    again = core.coach_audio("carol", WORD, 10.6)
    assert kinds(again)[4:6] == ["response.created", "response.output_item.added"]
    done = next(e for e in to_client(again) if e["type"] == "response.done")["response"]
    assert (done["status"], done["output"][0]["status"]) == ("cancelled", "incomplete")
    late = core.coach_speech.transcribed(1, "One two three four five six seven eight.", 12.0)
    (utterance,) = said(late)
    assert (utterance.state, utterance.heard_ms) == ("interrupted", 400)
    (create,) = to_engine(late)
    assert create["item"]["content"][0]["text"] == utterance.heard_text == "One two three"


def test_the_relay_does_not_truncate_an_item_that_the_engine_does_not_have() -> None:
    core = taken_over(BrowserDialect(), truncates=True)
    effects = core.coach_audio("carol", WORD, 10.0)
    item_id = next(e.item_id for e in effects if isinstance(e, PlayCoachAudio))
    core.playout.received(item_id, 1000)
    core.playout.sent(item_id, 1000, 10.0)
    assert to_engine(from_engine(core, wire.speech_started("U2"), 10.5)) == []


@pytest.mark.parametrize("names", [True, False], ids=["named", "unnamed"])
def test_a_cancel_ends_the_coachs_answer_in_progress(names: bool) -> None:
    core = taken_over()
    created = to_client(core.coach_audio("carol", WORD, 10.0))[0]
    named = {"response_id": created["response"]["id"]} if names else {}
    effects = from_client(core, {"type": "response.cancel", **named})
    assert to_engine(effects) == []
    assert kinds(effects) == ["response.output_audio.done"]
    done = to_client(core.coach_speech.transcribed(1, "Well", 12.5))[-1]["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}


def test_a_truncation_is_answered_by_the_relay_and_taken_as_exact() -> None:
    core = taken_over()
    item_id, _ = spoken(core)
    core.playout.received(item_id, 1700)
    core.playout.sent(item_id, 1700, 10.0)
    cut = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0}
    effects = from_client(core, {**cut, "audio_end_ms": 850}, 10.5)
    assert kinds(effects) == ["conversation.item.truncated"]
    assert to_engine(effects) == []
    (utterance,) = said(core.coach_speech.transcribed(1, "One two three four.", 11.0))
    assert (utterance.state, utterance.heard_ms) == ("interrupted", 850)
    assert not utterance.heard_estimated


def test_a_deleted_item_is_deleted_for_client_and_engine() -> None:
    core = taken_over()
    item_id, _ = spoken(core)
    core.coach_speech.transcribed(1, "Hello Ada.", 11.0)
    effects = from_client(core, {"type": "conversation.item.delete", "item_id": item_id})
    assert kinds(effects) == ["conversation.item.deleted"]
    (create,) = to_engine(effects)
    assert (create["type"], create["item_id"]) == ("conversation.item.delete", item_id)
    gone = {"type": "conversation.item.deleted", "item_id": item_id}
    assert to_client(from_engine(core, gone)) == [], "shown once"


def test_an_item_deleted_before_its_transcript_is_never_sent_to_the_engine() -> None:
    core = taken_over()
    item_id, _ = spoken(core)
    from_client(core, {"type": "conversation.item.delete", "item_id": item_id})
    assert to_engine(core.coach_speech.transcribed(1, "Hello Ada.", 11.0)) == []


def test_the_coachs_answer_ends_before_the_engines_begins() -> None:
    core = taken_over()
    spoken(core)
    core.commands.release("carol")
    effects = from_engine(core, wire.response_created("R9"), 10.5)
    assert kinds(effects)[-2:] == ["response.done", "response.created"]
    late = core.coach_speech.transcribed(1, "Hello Ada.", 11.0)
    assert [event["type"] for event in to_engine(late)] == ["conversation.item.create"]


@pytest.mark.parametrize("dialect", [GaDialect(), BrowserDialect()])
def test_a_session_in_which_no_coach_speaks_is_not_affected(dialect: ClientDialect) -> None:
    core = new_core(dialect)
    assert core.coach_speech.next() == float("inf")
    assert core.coach_speech.due(1e9) == []
    assert core.coach_speech.stop(5.0) == []


def test_interim_text_names_the_coach() -> None:
    core = taken_over()
    item_id, _ = spoken(core)
    core.playout.received(item_id, 1700)
    core.playout.sent(item_id, 1700, 10.9)
    core.coach_speech.transcribed(1, "Hello Ada.", 11.0)
    interim = core.transcript.interim()[-1]
    assert (interim.text, interim.coach_id) == ("Hello Ada.", "carol")


def test_usage_of_the_coachs_transcription_is_charged_to_the_session() -> None:
    core = taken_over()
    usage = {"type": "duration", "seconds": 2.0}
    (used,) = core.observe_usage(wire.heard("ear_E1", "Hello.", usage=usage), 11.0)
    assert isinstance(used, RecordUsage)
    assert used.line.usage != Usage()


def test_a_pause_mutes_the_model_and_the_coach_goes_on() -> None:
    core = taken_over()
    item_id = next(
        a.item_id for a in core.coach_audio("carol", WORD, 10.0) if isinstance(a, PlayCoachAudio)
    )
    core.playout.received(item_id, 1000)
    core.playout.sent(item_id, 1000, 10.0)
    assert core.commands.pause(10.5).effects == []
    assert heard(core.coach_audio("carol", WORD, 10.6)) == 1000


def test_a_coachs_item_after_hidden_items_is_linked_to_the_last_visible_one() -> None:
    """A server-side tool was called, so the engine has two items more than the client."""
    core = taken_over(server_tools=(TOOL,))
    call = {"id": "F1", "type": "function_call", "name": TOOL.name, "call_id": "c1"}
    output = {"id": "F2", "type": "function_call_output", "call_id": "c1", "output": "fog"}
    for event in (wire.item("added", call, "A1"), wire.item("added", output, "F1")):
        assert to_client(from_engine(core, event, 9.0)) == []
    item_id, effects = spoken(core)
    assert to_client(effects)[2]["previous_item_id"] == "A1"
    (create,) = to_engine(core.coach_speech.transcribed(1, "Hello Ada.", 11.0))
    assert create["previous_item_id"] == "F2"
    (event,) = to_client(from_engine(core, wire.item("added", {"id": "U2"}, "F2"), 12.0))
    assert event["previous_item_id"] == item_id


def test_a_coachs_item_after_a_whisper_is_linked_to_the_last_visible_one() -> None:
    core = taken_over()
    (whisper,) = to_engine(core.control.whisper("She is shy.", "context").effects)
    hidden = wire.item("added", {**whisper["item"], "status": "completed"}, "A1")
    assert to_client(from_engine(core, hidden, 9.0)) == []
    item_id, effects = spoken(core)
    assert to_client(effects)[2]["previous_item_id"] == "A1"
    (create,) = to_engine(core.coach_speech.transcribed(1, "Hello Ada.", 11.0))
    assert create["previous_item_id"] == whisper["item"]["id"]
    behind = wire.item("added", {"id": "U2"}, whisper["item"]["id"])
    (event,) = to_client(from_engine(core, behind, 12.0))
    assert event["previous_item_id"] == item_id

"""A coach speaks in mid-conversation: what the learner, the model and the record get of it."""

from typing import Any

import pytest

from relay.realtime.billing.usage import Usage
from relay.realtime.coaching.speech import WORDS_SECONDS
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
from tests.realtime.test_conversation import asked, conversation, from_engine, seen
from tests.realtime.test_server_tools_in_core import TOOL
from tests.realtime.wire_events import Event

LOUD = b"\x00\x20" * 480  # 20 ms
QUIET = bytes(960)
WORD, PAUSE = LOUD * 50, QUIET * 40


def taken(view: ClientDialect | None = None, **given: Any) -> SessionCore:
    """The learner said U1, the model answered A1, and Carol has the word."""
    rules = conversation(view, **given)
    for event in (*wire.spoken_turn("U1", None), wire.heard("U1", "Help!")):
        from_engine(rules, event)
    for event in wire.answer("A1", "Yes?", "U1"):
        from_engine(rules, event)
    rules.coaching.take_over("carol", 5.0)
    return rules


def from_client(rules: SessionCore, event: Event, now: float = 12.0) -> list[Effect]:
    return rules.from_client(encode(event), now)


def kinds(actions: list[Effect]) -> list[str]:
    return [event["type"] for event in seen(actions)]


def said(actions: list[Effect]) -> list[Utterance]:
    return [action.utterance for action in actions if isinstance(action, RecordUtterance)]


def heard(actions: list[Effect]) -> int:
    """Milliseconds that went to the learner."""
    return sum(action.ms for action in actions if isinstance(action, PlayCoachAudio))


def spoken(rules: SessionCore, now: float = 10.0) -> tuple[str, list[Effect]]:
    """A whole turn of Carol's; its item and what it did."""
    actions = rules.coach_says("carol", WORD + PAUSE, now)
    return next(a.item_id for a in actions if isinstance(a, PlayCoachAudio)), actions


def test_sound_becomes_an_answer_that_ends_with_its_words() -> None:
    rules = taken()
    item_id, actions = spoken(rules)
    assert kinds(actions) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
    ]
    added = seen(actions)[2]
    assert (added["previous_item_id"], added["item"]["id"]) == ("A1", item_id)
    assert heard(actions) == 1000 + 700
    dictated = [action for action in actions if isinstance(action, TranscribeCoachAudio)]
    assert len(b"".join(action.pcm or b"" for action in dictated)) == 48 * 1700
    assert dictated[-1] == TranscribeCoachAudio(1, None)
    ended = rules.voice.words(1, "Hello Ada.", 11.0)
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


def test_the_model_is_told_the_words_as_its_own() -> None:
    rules = taken()
    item_id, _ = spoken(rules)
    (up,) = asked(rules.voice.words(1, "Hello Ada.", 11.0))
    assert up["type"] == "conversation.item.create"
    assert up["previous_item_id"] == "A1"
    assert up["item"]["id"] == item_id
    assert up["item"]["content"] == [{"type": "output_text", "text": "Hello Ada."}]
    refusal = {"type": "error", "error": {"event_id": up["event_id"], "message": "No."}}
    assert seen(from_engine(rules, refusal)) == [], "what becomes of it is not the client's"


def test_a_client_of_old_names_hears_the_same() -> None:
    rules = taken(BrowserDialect())
    _, actions = spoken(rules)
    assert "conversation.item.created" in kinds(actions)
    assert kinds(actions)[-1] == "response.audio.done"
    frame = next(bytes(a.frame) for a in actions if isinstance(a, PlayCoachAudio))
    assert b'"type":"response.audio.delta"' in frame


def test_words_that_do_not_come_in_time_come_late() -> None:
    rules = taken()
    spoken(rules, 10.0)
    assert rules.next() <= 10.0 + WORDS_SECONDS
    assert kinds(rules.due(10.0 + WORDS_SECONDS - 0.1)) == []
    ended = rules.due(10.0 + WORDS_SECONDS)
    assert kinds(ended)[-1] == "response.done"
    assert said(ended) == [], "an empty utterance is none"
    late = rules.voice.words(1, "Hello Ada.", 20.0)
    assert kinds(late) == [
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
    ]
    assert [(u.text, u.coach_id) for u in said(late)] == [("Hello Ada.", "carol")]
    assert [event["type"] for event in asked(late)] == ["conversation.item.create"]
    assert rules.voice.words(1, "Again.", 21.0) == []


def test_what_nobody_understood_ends_without_words_and_the_model_is_told_nothing() -> None:
    rules = taken()
    spoken(rules)
    ended = rules.voice.words(1, None, 11.0)
    assert kinds(ended)[-1] == "response.done"
    assert asked(ended) == []
    assert said(ended) == []


def test_only_who_has_the_word_is_heard() -> None:
    rules = taken()
    assert rules.coach_says("dave", WORD, 10.0) == []
    rules.coaching.release("carol")
    assert rules.coach_says("carol", WORD, 11.0) == []


def test_a_learner_whose_sound_is_of_another_format_hears_no_coach() -> None:
    rules = taken()
    audio = {"output": {"format": {"type": "audio/pcmu"}}}
    from_engine(rules, {"type": "session.updated", "event_id": "e", "session": {"audio": audio}})
    assert rules.coach_says("carol", WORD, 10.0) == []


def test_who_stops_sending_has_stopped_speaking() -> None:
    rules = taken()
    rules.coach_says("carol", WORD, 10.0)
    assert rules.next() == pytest.approx(10.7)
    assert kinds(rules.due(10.7)) == ["response.output_audio.done"]


def test_the_learner_interrupts_and_the_coach_goes_on_in_a_new_answer() -> None:
    rules = taken()
    actions = rules.coach_says("carol", WORD, 10.0)
    first = next(a.item_id for a in actions if isinstance(a, PlayCoachAudio))
    rules.playout.received(first, 1000)
    rules.playout.sent(first, 1000, 10.0)
    cut = from_engine(rules, wire.speech_started("U2"), 10.5)
    assert kinds(cut) == ["input_audio_buffer.speech_started", "response.output_audio.done"]
    assert asked(cut) == [], "the engine has no such item to truncate"
    again = rules.coach_says("carol", WORD, 10.6)
    assert kinds(again)[4:6] == ["response.created", "response.output_item.added"]
    done = next(e for e in seen(again) if e["type"] == "response.done")["response"]
    assert (done["status"], done["output"][0]["status"]) == ("cancelled", "incomplete")
    late = rules.voice.words(1, "One two three four five six seven eight.", 12.0)
    (utterance,) = said(late)
    assert (utterance.state, utterance.heard_ms) == ("interrupted", 400)
    (up,) = asked(late)
    assert up["item"]["content"][0]["text"] == utterance.heard_text == "One two three"


def test_the_relay_truncates_no_item_that_the_engine_does_not_have() -> None:
    rules = taken(BrowserDialect(), truncates=True)
    actions = rules.coach_says("carol", WORD, 10.0)
    item_id = next(a.item_id for a in actions if isinstance(a, PlayCoachAudio))
    rules.playout.received(item_id, 1000)
    rules.playout.sent(item_id, 1000, 10.0)
    assert asked(from_engine(rules, wire.speech_started("U2"), 10.5)) == []


@pytest.mark.parametrize("names", [True, False], ids=["named", "unnamed"])
def test_a_cancel_means_the_coachs_answer_while_there_is_one(names: bool) -> None:
    rules = taken()
    created = seen(rules.coach_says("carol", WORD, 10.0))[0]
    named = {"response_id": created["response"]["id"]} if names else {}
    actions = from_client(rules, {"type": "response.cancel", **named})
    assert asked(actions) == []
    assert kinds(actions) == ["response.output_audio.done"]
    done = seen(rules.voice.words(1, "Well", 12.5))[-1]["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}


def test_a_truncation_is_answered_here_and_counts_exactly() -> None:
    rules = taken()
    item_id, _ = spoken(rules)
    rules.playout.received(item_id, 1700)
    rules.playout.sent(item_id, 1700, 10.0)
    cut = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0}
    actions = from_client(rules, {**cut, "audio_end_ms": 850}, 10.5)
    assert kinds(actions) == ["conversation.item.truncated"]
    assert asked(actions) == []
    (utterance,) = said(rules.voice.words(1, "One two three four.", 11.0))
    assert (utterance.state, utterance.heard_ms) == ("interrupted", 850)
    assert not utterance.heard_estimated


def test_an_item_that_is_deleted_is_gone_for_both() -> None:
    rules = taken()
    item_id, _ = spoken(rules)
    rules.voice.words(1, "Hello Ada.", 11.0)
    actions = from_client(rules, {"type": "conversation.item.delete", "item_id": item_id})
    assert kinds(actions) == ["conversation.item.deleted"]
    (up,) = asked(actions)
    assert (up["type"], up["item_id"]) == ("conversation.item.delete", item_id)
    gone = {"type": "conversation.item.deleted", "item_id": item_id}
    assert seen(from_engine(rules, gone)) == [], "told once"


def test_an_item_that_was_deleted_before_its_words_came_never_goes_up() -> None:
    rules = taken()
    item_id, _ = spoken(rules)
    from_client(rules, {"type": "conversation.item.delete", "item_id": item_id})
    assert asked(rules.voice.words(1, "Hello Ada.", 11.0)) == []


def test_the_engines_answer_waits_for_the_end_of_the_coachs() -> None:
    rules = taken()
    spoken(rules)
    rules.coaching.release("carol")
    actions = from_engine(rules, wire.response_created("R9"), 10.5)
    assert kinds(actions)[-2:] == ["response.done", "response.created"]
    late = rules.voice.words(1, "Hello Ada.", 11.0)
    assert [event["type"] for event in asked(late)] == ["conversation.item.create"]


@pytest.mark.parametrize("view", [GaDialect(), BrowserDialect()])
def test_a_session_that_no_coach_speaks_in_is_as_it_was(view: ClientDialect) -> None:
    rules = conversation(view)
    assert rules.voice.next() == float("inf")
    assert rules.voice.due(1e9) == []
    assert rules.voice.stop(5.0) == []


def test_words_that_have_not_settled_are_the_coachs_too() -> None:
    rules = taken()
    item_id, _ = spoken(rules)
    rules.playout.received(item_id, 1700)
    rules.playout.sent(item_id, 1700, 10.9)
    rules.voice.words(1, "Hello Ada.", 11.0)
    partial = rules.transcript.interim()[-1]
    assert (partial.text, partial.coach_id) == ("Hello Ada.", "carol")


def test_what_the_ear_costs_is_the_sessions() -> None:
    rules = taken()
    usage = {"type": "duration", "seconds": 2.0}
    (used,) = rules.metered(wire.heard("ear_E1", "Hello.", usage=usage), 11.0)
    assert isinstance(used, RecordUsage)
    assert used.line.usage != Usage()


def test_a_pause_is_for_the_model_and_the_coach_goes_on() -> None:
    rules = taken()
    item_id = next(
        a.item_id for a in rules.coach_says("carol", WORD, 10.0) if isinstance(a, PlayCoachAudio)
    )
    rules.playout.received(item_id, 1000)
    rules.playout.sent(item_id, 1000, 10.0)
    assert rules.coaching.pause(10.5).actions == []
    assert heard(rules.coach_says("carol", WORD, 10.6)) == 1000


def test_behind_what_the_client_is_not_shown_it_stands_behind_what_it_is() -> None:
    """A server's tool was called: the engine has two items more than the client."""
    rules = taken(server_tools=(TOOL,))
    call = {"id": "F1", "type": "function_call", "name": TOOL.name, "call_id": "c1"}
    output = {"id": "F2", "type": "function_call_output", "call_id": "c1", "output": "fog"}
    for event in (wire.item("added", call, "A1"), wire.item("added", output, "F1")):
        assert seen(from_engine(rules, event, 9.0)) == []
    item_id, actions = spoken(rules)
    assert seen(actions)[2]["previous_item_id"] == "A1"
    (up,) = asked(rules.voice.words(1, "Hello Ada.", 11.0))
    assert up["previous_item_id"] == "F2"
    (event,) = seen(from_engine(rules, wire.item("added", {"id": "U2"}, "F2"), 12.0))
    assert event["previous_item_id"] == item_id


def test_behind_a_whisper_too() -> None:
    rules = taken()
    (told,) = asked(rules.coaching.whisper("She is shy.", "context").actions)
    hidden = wire.item("added", {**told["item"], "status": "completed"}, "A1")
    assert seen(from_engine(rules, hidden, 9.0)) == []
    item_id, actions = spoken(rules)
    assert seen(actions)[2]["previous_item_id"] == "A1"
    (up,) = asked(rules.voice.words(1, "Hello Ada.", 11.0))
    assert up["previous_item_id"] == told["item"]["id"]
    behind = wire.item("added", {"id": "U2"}, told["item"]["id"])
    (event,) = seen(from_engine(rules, behind, 12.0))
    assert event["previous_item_id"] == item_id

"""Whole turns, in the order in which OpenAI's server sends their events (PROTOCOL §4)."""

import base64

import pytest

from relay.engines.cascade import machine as machine_module
from relay.engines.cascade.effects import Close
from relay.engines.cascade.outputs import Pace
from relay.engines.cascade.settings import SESSION_SECONDS
from relay.parts.interfaces import FunctionCall, Reply, SpokenMessage
from relay.parts.simple import silence, tone
from tests.engines.cascade.driving import (
    NO_TURNS,
    TEXT,
    TRANSCRIBED,
    UNIX,
    Event,
    Talk,
    scripted,
    types,
    without_deltas,
)

TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]
OPENING = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
AUDIO_TAIL = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
TEXT_TAIL = [
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
LONG = "A long answer that goes on and on, for as long as nobody interrupts it."
LIMITS = ["rate_limits.updated"]


def test_the_first_event_is_the_session_with_all_its_settings():
    talk = Talk(model="gpt-realtime-2.1")

    (created,) = talk.events
    assert created["type"] == "session.created"
    session = created["session"]
    assert session["model"] == "gpt-realtime-2.1"
    assert session["expires_at"] == UNIX + 3600
    assert session["audio"]["input"]["transcription"] is None
    assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert session["audio"]["output"]["voice"] == "marin"


def test_4_1_a_spoken_turn_with_transcription():
    talk = Talk(scripted("How are you?"))
    talk.say("session.update", session=TRANSCRIBED)
    talk.forget()

    talk.speak()
    talk.finish()

    assert types(talk.events) == [
        *TURN,
        "conversation.item.input_audio_transcription.delta*",
        "conversation.item.input_audio_transcription.completed",
        *OPENING,
        "response.output_audio_transcript.delta*",
        "response.output_audio.delta*",
        "response.output_audio_transcript.delta*",
        "response.output_audio.delta*",
        "response.output_audio_transcript.delta*",
        "response.output_audio.delta*",
        *AUDIO_TAIL,
        *LIMITS,
    ]
    user_id = talk.last("input_audio_buffer.committed")["item_id"]
    assert talk.of("input_audio_buffer.speech_started")[0]["item_id"] == user_id
    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert (completed["item_id"], completed["transcript"]) == (user_id, "How are you?")
    said = talk.last("response.output_audio_transcript.done")["transcript"]
    assert said == "You said: How are you?"
    assert talk.last("response.done")["response"]["status"] == "completed"


def test_4_1_a_slow_transcript_comes_after_the_response_was_announced():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    talk.forget()

    (transcription,) = talk.work
    talk.work.clear()
    talk.wait(0.5)
    talk.work.append(transcription)
    talk.finish()

    assert types(talk.events)[:4] == [
        "response.created",
        "conversation.item.input_audio_transcription.delta*",
        "conversation.item.input_audio_transcription.completed",
        "response.output_item.added",
    ]


def test_4_1_without_transcription_the_answer_comes_nevertheless():
    talk = Talk()
    talk.speak()
    talk.finish()

    assert not any("transcription" in event["type"] for event in talk.events)
    said = talk.last("response.output_audio_transcript.done")["transcript"]
    assert said == "You said: Hello there."


def test_the_words_of_an_answer_run_ahead_of_its_sound():
    talk = Talk(scripted(replies=("One two three four five six seven eight nine ten.",)))
    talk.speak()
    talk.finish()

    words, sound, total = 0, 0, len(talk.of("response.output_audio.delta"))
    for event in talk.events:
        if event["type"] == "response.output_audio_transcript.delta":
            words += 1
        elif event["type"] == "response.output_audio.delta":
            sound += 1
            assert words / 10 >= sound / total
    assert words == 10


def test_the_deltas_joined_are_the_answer():
    talk = Talk(scripted(replies=("Good morning,  you two!\nSleep well?",)))
    talk.speak()
    talk.finish()

    joined = "".join(e["delta"] for e in talk.of("response.output_audio_transcript.delta"))
    assert joined == "Good morning,  you two!\nSleep well?"
    sound = b"".join(base64.b64decode(e["delta"]) for e in talk.of("response.output_audio.delta"))
    spoken = ("Good morning,  you two!", "Sleep well?")
    assert sound == b"".join(tone(len(sentence) * 60) for sentence in spoken)
    sizes = [len(base64.b64decode(e["delta"])) for e in talk.of("response.output_audio.delta")]
    assert max(sizes) == 12_000


def test_4_2_semantic_vad_tells_the_same_events():
    talk = Talk()
    turns = {"type": "semantic_vad", "eagerness": "high"}
    talk.say(
        "session.update",
        session={"type": "realtime", "audio": {"input": {"turn_detection": turns}}},
    )
    talk.forget()

    talk.speak(pause_ms=600)
    talk.finish()

    assert without_deltas(talk.events) == [*TURN, *OPENING, *AUDIO_TAIL, *LIMITS]
    assert talk.last("input_audio_buffer.speech_stopped")["audio_end_ms"] == 1000 + 400


def test_4_3_push_to_talk():
    talk = Talk()
    talk.say("session.update", session=NO_TURNS)
    talk.forget()

    assert talk.append(tone(400)) == []
    assert types(talk.say("input_audio_buffer.commit")) == TURN[2:]
    assert talk.finish() == []
    talk.forget()
    talk.say("response.create")
    talk.finish()

    assert without_deltas(talk.events) == [*OPENING, *AUDIO_TAIL, *LIMITS]


def test_4_3_with_vad_but_no_answers_the_turn_is_only_committed():
    talk = Talk()
    turns = {"type": "server_vad", "create_response": False}
    talk.say(
        "session.update",
        session={"type": "realtime", "audio": {"input": {"turn_detection": turns}}},
    )
    talk.forget()

    talk.speak()
    talk.finish()

    assert types(talk.events) == TURN


def test_4_4_barge_in():
    talk = Talk(scripted("One.", "Two.", replies=(LONG, "Short.")))
    talk.speak()
    talk.wait(0.12)
    answer_id = talk.last("response.output_item.added")["item"]["id"]
    talk.forget()

    talk.append(tone(300))
    talk.append(tone(300) + silence(1000))
    talk.say("conversation.item.truncate", item_id=answer_id, content_index=0, audio_end_ms=200)
    talk.finish()

    assert without_deltas(talk.events) == [
        "input_audio_buffer.speech_started",
        *AUDIO_TAIL,
        *TURN[1:],
        "conversation.item.truncated",
        *OPENING,
        *AUDIO_TAIL,
        *LIMITS,
    ]
    cancelled = talk.of("response.done")[0]["response"]
    assert cancelled["status"] == "cancelled"
    assert cancelled["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert cancelled["output"][0]["status"] == "incomplete"
    assert cancelled["usage"]["output_tokens"] > 0
    generated = talk.of("response.output_audio_transcript.done")[0]["transcript"]
    assert LONG.startswith(generated)
    assert 0 < len(generated) < len(LONG)
    committed = talk.last("input_audio_buffer.committed")
    assert committed["previous_item_id"] == answer_id


def test_4_4_an_answer_that_has_not_begun_is_cancelled_without_an_item():
    talk = Talk()
    talk.speak()
    talk.forget()

    talk.append(tone(300))

    assert types(talk.events) == [
        "input_audio_buffer.speech_started",
        "response.created",
        "response.done",
    ]
    cancelled = talk.last("response.done")["response"]
    assert cancelled["output"] == []
    assert cancelled["usage"]["total_tokens"] == 0


def test_4_4_without_interrupt_response_both_answers_are_given_in_turn():
    talk = Talk(scripted("One.", "Two."))
    turns = {"type": "server_vad", "interrupt_response": False}
    talk.say(
        "session.update",
        session={"type": "realtime", "audio": {"input": {"turn_detection": turns}}},
    )
    talk.speak()
    talk.wait(0.06)
    talk.speak()
    talk.finish()

    statuses = [event["response"]["status"] for event in talk.of("response.done")]
    assert statuses == ["completed", "completed"]
    said = [e["transcript"] for e in talk.of("response.output_audio_transcript.done")]
    assert said == ["You said: One.", "You said: Two."]


def test_4_5_a_typed_turn():
    talk = Talk()
    talk.say("session.update", session=TEXT)
    talk.forget()

    talk.type("Say hi")
    talk.say("response.create")
    talk.finish()

    assert types(talk.events) == [
        "conversation.item.added",
        "conversation.item.done",
        *OPENING,
        "response.output_text.delta*",
        *TEXT_TAIL,
        *LIMITS,
    ]
    assert talk.last("response.output_text.done")["text"] == "You said: Say hi"
    part = talk.last("response.content_part.done")["part"]
    assert part == {"type": "text", "text": "You said: Say hi"}
    item = talk.last("response.output_item.done")["item"]
    assert item["content"] == [{"type": "output_text", "text": "You said: Say hi"}]


def test_a_typed_turn_may_be_answered_aloud():
    talk = Talk()
    talk.type("Say hi")
    talk.say("response.create")
    talk.finish()

    said = talk.last("response.output_audio_transcript.done")["transcript"]
    assert said == "You said: Say hi"


def test_4_8_cancel():
    talk = Talk()
    talk.type("Say hi")
    talk.say("response.create")
    talk.wait(0.06)
    talk.forget()

    talk.say("response.cancel")

    assert types(talk.events) == AUDIO_TAIL
    details = talk.last("response.done")["response"]["status_details"]
    assert details == {"type": "cancelled", "reason": "client_cancelled"}
    assert talk.finish() == []


def test_4_8_cancel_with_nothing_to_cancel():
    talk = Talk()

    (error,) = talk.say("response.cancel", event_id="mine")

    assert error["error"] == {
        "type": "invalid_request_error",
        "code": "response_cancel_not_active",
        "message": "Cancellation failed: no active response found",
        "param": None,
        "event_id": "mine",
    }


def test_4_8_a_second_response_while_one_runs():
    talk = Talk()
    talk.type("Say hi")
    talk.say("response.create")

    (error,) = talk.say("response.create", event_id="second")

    assert error["error"]["code"] == "conversation_already_has_active_response"
    assert error["error"]["event_id"] == "second"
    active = talk.last("response.created")["response"]["id"]
    assert active in error["error"]["message"]


def test_the_chain_of_previous_items_and_its_null():
    talk = Talk()
    for _ in range(2):
        talk.speak()
        talk.finish()

    added = talk.of("conversation.item.added")
    ids = [event["item"]["id"] for event in added]
    assert [event["previous_item_id"] for event in added] == [None, *ids[:-1]]
    done = {e["item"]["id"]: e["previous_item_id"] for e in talk.of("conversation.item.done")}
    assert done == {ids[0]: None, ids[1]: None, ids[2]: ids[1], ids[3]: ids[2]}


def test_an_answer_comes_at_the_asked_pace():
    talk = Talk(scripted(replies=("x" * 100,)), pace=Pace(burst=12))
    talk.speak()
    talk.do_work()
    start = talk.now
    talk.finish()

    assert len(talk.of("response.output_audio.delta")) == 24
    talk = Talk(scripted(replies=("x" * 100,)), pace=Pace(burst=1))
    talk.speak()
    talk.wait(0)
    talk.now = start
    assert len(talk.wait(1.0)) <= 6


def test_a_session_lasts_an_hour():
    talk = Talk()
    assert talk.wait(SESSION_SECONDS - 1) == []

    (error,) = talk.wait(1)

    assert error["error"]["code"] == "session_expired"
    assert talk.closed == Close(1001, "Your session hit the maximum duration of 60 minutes.")


def test_a_failed_transcription_is_reported_and_fails_the_answer_that_needs_it():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    item_id = talk.last("input_audio_buffer.committed")["item_id"]

    (failed,) = talk.fail_work("busy")
    talk.finish()

    assert failed["type"] == "conversation.item.input_audio_transcription.failed"
    assert failed["item_id"] == item_id
    assert failed["error"]["code"] == "transcriber_busy"
    assert failed["error"]["message"].startswith(f"Input transcription failed for item '{item_id}'")
    assert talk.last("error")["error"]["code"] == "transcriber_busy"
    assert talk.last("response.done")["response"]["status"] == "failed"


def test_a_failed_synthesis_fails_the_response():
    talk = Talk()
    talk.type("Say hi")
    talk.say("response.create")

    talk.fail_work()
    error, done = talk.wait(0.1)

    assert error["error"]["code"] == "synthesizer_failed"
    assert done["type"] == "response.done"
    assert done["response"]["status"] == "failed"
    assert done["response"]["status_details"]["error"]["type"] == "server_error"


def test_speech_without_words_is_an_empty_transcript():
    talk = Talk(scripted(""))
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    talk.do_work()

    assert talk.of("conversation.item.input_audio_transcription.delta") == []
    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == ""


CALLS = Reply((FunctionCall("f"), SpokenMessage("And so on, " * 20)), interleaving="in_turn")


def talk_with_a_call() -> Talk:
    """A talk whose function call is whole while its response goes on."""
    talk = Talk(scripted(replies=(CALLS, "Then: {heard}")))
    talk.say("session.update", session=TEXT)
    talk.type("Go")
    talk.say("response.create")
    while not talk.of("response.function_call_arguments.done"):
        talk.wait(0.005)
    talk.forget()
    return talk


def output(text: str, **more: object) -> dict[str, object]:
    item = {"type": "function_call_output", "call_id": "call_x", "output": text}
    return {"type": "conversation.item.create", "item": item, **more}


def ids(events: list[Event]) -> list[str]:
    return [event["item"]["id"] for event in events if event["type"] == "conversation.item.added"]


def test_4_6_an_early_function_output_joins_after_the_response():
    talk = talk_with_a_call()

    assert talk.send(output("one")) == []
    assert talk.send(output("two")) == []
    rest = talk.finish()

    kinds = types(rest)
    after = kinds.index("response.done")
    assert kinds[after:] == [
        "response.done",
        "rate_limits.updated",
        *["conversation.item.added", "conversation.item.done"] * 2,
    ]
    outputs = [event["item"]["output"] for event in rest if "output" in event.get("item", {})]
    assert outputs == ["one", "one", "two", "two"]
    talk.say("response.create")
    talk.finish()
    assert talk.last("response.output_text.done")["text"] == "Then: two"


def test_a_function_output_joins_before_the_next_response_begins():
    talk = Talk(scripted("Go.", "And?", replies=(CALLS, "Then: {heard}")))
    patient = {"type": "server_vad", "interrupt_response": False}
    audio = {"input": {"turn_detection": patient}}
    talk.say("session.update", session={**TEXT, "audio": audio})
    talk.speak()
    talk.wait(0.05)
    talk.speak()  # its answer waits for the first one's end
    talk.send(output("one"))

    talk.finish()

    assert talk.of("response.output_text.done")[-1]["text"] == "Then: one"


def test_a_message_typed_meanwhile_joins_at_once():
    talk = talk_with_a_call()

    assert types(talk.type("Wait")) == ["conversation.item.added", "conversation.item.done"]


def test_an_early_output_whose_place_is_gone_is_refused_after_the_response():
    talk = talk_with_a_call()
    place = ids(talk.type("Gone soon"))[0]
    assert talk.send(output("late", previous_item_id=place, event_id="mine")) == []
    talk.say("conversation.item.delete", item_id=place)

    talk.finish()

    error = talk.last("error")["error"]
    assert error["code"] == "item_create_invalid_previous_item_id"
    assert error["event_id"] == "mine"


def test_early_function_outputs_are_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine_module, "MAX_DEFERRED", 1)
    talk = talk_with_a_call()
    talk.send(output("one"))

    (error,) = talk.send(output("two"))

    assert error["error"]["code"] == "rate_limit_exceeded"


def test_an_unknown_approval_is_an_ordinary_item():
    talk = Talk()
    item = {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}

    answered = talk.say("conversation.item.create", item=item)

    assert types(answered) == ["conversation.item.added", "conversation.item.done"]

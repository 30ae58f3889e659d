"""A user who says nothing is spoken to (PROTOCOL §4.9)."""

import pytest

from relay.engines.cascade.responses import MAX_RUNNING
from relay.engines.cascade.settings import SESSION_SECONDS
from relay.parts.simple import silence, tone
from tests.engines.cascade.driving import Talk, scripted, types


def idle_talk(**turns: object) -> Talk:
    """A talk whose first answer has just ended: 12 characters, 720 ms of sound."""
    talk = Talk(scripted("Hello.", replies=("Twelve chars", "Still there?")))
    vad = {"type": "server_vad", "idle_timeout_ms": 6000, **turns}
    audio = {"transcription": {"model": "gpt-realtime-whisper"}, "turn_detection": vad}
    talk.say("session.update", session={"type": "realtime", "audio": {"input": audio}})
    talk.speak()
    while not talk.of("response.done"):
        talk.wait(0.01)
    talk.forget()
    return talk


def test_4_9_a_long_silence_makes_the_model_speak():
    talk = idle_talk()
    for _ in range(66):  # an open microphone goes on sending
        talk.append(silence(100))
        talk.wait(0.1)
    assert not talk.of("input_audio_buffer.timeout_triggered")
    talk.append(silence(100))
    talk.wait(0.2)

    assert types(talk.events)[:8] == [
        "input_audio_buffer.timeout_triggered",
        "conversation.item.added",
        "conversation.item.done",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "conversation.item.input_audio_transcription.completed",
    ]
    system, user = (event["item"] for event in talk.of("conversation.item.added")[:2])
    assert (system["role"], user["role"]) == ("system", "user")
    assert system["content"][0]["text"].startswith("No user speech was detected for a while")
    triggered = talk.last("input_audio_buffer.timeout_triggered")
    assert triggered["item_id"] == user["id"]
    assert triggered["audio_end_ms"] - triggered["audio_start_ms"] == 6000
    assert triggered["audio_end_ms"] == 2000 + 6700
    assert talk.last("input_audio_buffer.committed")["previous_item_id"] == system["id"]
    nothing = talk.last("conversation.item.input_audio_transcription.completed")
    assert (nothing["item_id"], nothing["transcript"]) == (user["id"], "")
    assert nothing["usage"] == {"type": "duration", "seconds": 0}
    assert talk.work or talk.of("response.output_item.added")  # nothing is transcribed
    talk.wait(2)
    said = talk.last("response.output_audio_transcript.done")["transcript"]
    assert said == "Still there?"


def test_4_9_the_silence_counts_from_when_the_answer_was_heard():
    talk = idle_talk()

    talk.wait(6.7)
    assert talk.events == []
    talk.wait(0.03)
    assert len(talk.of("input_audio_buffer.timeout_triggered")) == 1


def test_it_asks_again_and_again():
    talk = idle_talk()

    talk.wait(25)

    assert len(talk.of("input_audio_buffer.timeout_triggered")) == 3


def test_a_user_who_speaks_is_not_asked():
    talk = idle_talk()
    talk.wait(5)
    talk.append(tone(300))

    talk.wait(20)

    assert talk.of("input_audio_buffer.timeout_triggered") == []


def test_a_user_who_has_spoken_is_not_asked_although_nobody_answers():
    talk = idle_talk()
    alone = {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}
    talk.say("session.update", session={"type": "realtime", "audio": alone})
    talk.speak()

    talk.wait(20)

    assert len(talk.of("input_audio_buffer.committed")) == 1
    assert talk.of("input_audio_buffer.timeout_triggered") == []


def test_a_turn_that_the_client_ended_is_no_silence():
    talk = idle_talk()
    talk.append(silence(500))
    talk.say("input_audio_buffer.commit")

    talk.wait(20)

    assert talk.of("input_audio_buffer.timeout_triggered") == []


def test_a_response_that_the_client_asked_for_counts_anew():
    talk = idle_talk()
    talk.wait(6)
    talk.say("response.create")

    talk.wait(6)
    assert talk.of("input_audio_buffer.timeout_triggered") == []
    talk.wait(2)
    assert len(talk.of("input_audio_buffer.timeout_triggered")) == 1


def test_a_silence_is_answered_however_many_responses_run_beside():
    talk = idle_talk()
    for _ in range(MAX_RUNNING):
        talk.say("response.create", response={"conversation": "none"})
    aside = list(talk.work)
    talk.work.clear()  # none of them ends

    talk.wait(7)

    assert len(talk.of("input_audio_buffer.timeout_triggered")) == 1
    assert len(aside) == MAX_RUNNING
    assert talk.last("response.done")["response"]["conversation_id"] is not None


def test_an_answer_that_is_not_over_is_waited_for():
    talk = idle_talk()
    talk.wait(6)
    talk.say("response.create")
    (speech,) = talk.work
    talk.work.clear()  # a synthesizer that takes its time

    talk.wait(5)
    assert talk.of("input_audio_buffer.timeout_triggered") == []

    talk.work.append(speech)
    talk.wait(7)
    assert len(talk.of("input_audio_buffer.timeout_triggered")) == 1


def test_a_user_who_goes_on_speaking_is_not_asked_either():
    talk = idle_talk(interrupt_response=False)
    talk.append(tone(300))
    talk.say("response.create")  # the client will not wait for the end of the turn

    talk.wait(20)

    assert len(talk.of("response.done")) == 1
    assert talk.of("input_audio_buffer.timeout_triggered") == []


@pytest.mark.parametrize("turns", [None, {"type": "semantic_vad"}])
def test_nobody_is_asked_once_the_client_has_turned_it_off(turns: object):
    talk = idle_talk()
    audio = {"input": {"turn_detection": turns}}
    talk.say("session.update", session={"type": "realtime", "audio": audio})
    talk.forget()

    assert talk.wait(60) == []


def test_a_timeout_that_is_too_short_is_refused():
    talk = Talk()
    vad = {"type": "server_vad", "idle_timeout_ms": 999}

    (error,) = talk.say(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": vad}}}
    )

    assert error["error"]["code"] == "integer_below_min_value"


def test_the_clock_runs_only_between_an_answer_and_the_users_next_words():
    talk = idle_talk()
    ended = talk.now
    expires = 100.0 + SESSION_SECONDS

    assert talk.machine.deadline(ended) == pytest.approx(ended + 0.72 + 6.0, abs=0.01)
    talk.append(tone(300))
    assert talk.machine.deadline(talk.now) == expires
    assert Talk().machine.deadline(100.0) == expires


def test_4_9_the_model_is_prompted_by_a_system_message():
    talk = idle_talk()
    talk.wait(7)

    message = talk.of("conversation.item.added")[0]["item"]
    assert (message["type"], message["role"], message["status"]) == (
        "message",
        "system",
        "completed",
    )
    assert message["content"][0]["type"] == "input_text"

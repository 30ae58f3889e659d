"""Parts that need no packages: loudness and tones, the echo, and the parts that follow a script."""

import base64
import time

import pytest

from relay.parts.interfaces import (
    FunctionCall,
    Reply,
    SpeechStarted,
    SpeechStopped,
    SpokenMessage,
    as_reply,
)
from relay.parts.simple import (
    LoudnessDetector,
    Script,
    ScriptedResponder,
    ToneSynthesizer,
    echo_parts,
    scripted_parts,
    silence,
    tone,
)
from tests.engines.cascade.driving import TEXT, TRANSCRIBED, Talk
from tests.parts.asking import heard, replied, spoken


def test_a_tone_and_a_silence_last_as_long_as_asked():
    assert len(tone(250)) == len(silence(250)) == 12_000
    assert max(memoryview(tone(250)).cast("h")) > 5000


async def test_the_longer_the_text_the_longer_the_tone():
    synthesizer = ToneSynthesizer()

    assert len(await spoken(synthesizer, "Ten chars.")) == 600 * 48
    assert await spoken(synthesizer, "") == b""


def test_the_detector_finds_where_a_voice_begins_and_ends():
    detector = LoudnessDetector()

    happened = detector.detect(silence(1000) + tone(400) + silence(1000))

    assert happened == [SpeechStarted(1000), SpeechStopped(1400)]


@pytest.mark.parametrize("silence_ms", [0, 200, 480, 500])
def test_the_detector_waits_for_the_silence(silence_ms: int):
    detector = LoudnessDetector()
    detector.silence_ms = silence_ms
    detector.detect(tone(400))

    assert detector.detect(silence(max(silence_ms, 20) - 20)) == []
    assert detector.detect(silence(20)) == [SpeechStopped(400)]


def test_a_pause_in_a_sentence_does_not_end_it():
    detector = LoudnessDetector()

    assert len(detector.detect((tone(400) + silence(300)) * 3)) == 1


def test_a_click_and_a_quiet_room_begin_nothing():
    detector = LoudnessDetector()
    room = bytes(memoryview(tone(1000)).cast("h")[:0]) + b"\x40\x01" * 24_000

    assert detector.detect(silence(100) + tone(20) + silence(900)) == []
    assert detector.detect(room) == []


def test_a_reset_forgets_the_turn_and_goes_on_counting():
    detector = LoudnessDetector()
    detector.detect(tone(400))
    detector.reset()

    assert detector.detect(silence(1000)) == []
    assert detector.detect(tone(100)) == [SpeechStarted(1400)]


def test_the_detector_is_cheap():
    """A minute of audio in 20 ms pieces takes less than half a second."""
    detector, piece = LoudnessDetector(), tone(20)
    begin = time.process_time()
    for _ in range(3000):
        detector.detect(piece)
    assert time.process_time() - begin < 0.5


def said(talk: Talk) -> bytes:
    deltas = talk.of("response.output_audio.delta")
    return b"".join(base64.b64decode(event["delta"]) for event in deltas)


def test_what_was_spoken_comes_back_as_it_was_spoken():
    talk = Talk(echo_parts())
    talk.say("session.update", session=TRANSCRIBED)

    talk.append(tone(1700, 300) + silence(1000))
    talk.finish()

    assert said(talk) == tone(1700, 300) + silence(200)
    done = talk.last("response.output_audio_transcript.done")
    assert done["transcript"] == "[echo of 1.9 s]"
    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == ""


def test_what_was_typed_comes_back_as_text():
    talk = Talk(echo_parts())
    talk.say("session.update", session=TEXT)
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    assert talk.last("response.output_text.done")["text"] == "Hello"


def test_what_was_typed_comes_back_as_a_tone_where_sound_is_wanted():
    talk = Talk(echo_parts())
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    assert said(talk) == tone(5 * 60)
    assert talk.last("response.output_audio_transcript.done")["transcript"] == "Hello"


def test_spoken_words_in_a_text_session():
    talk = Talk(echo_parts())
    talk.say("session.update", session=TEXT)
    talk.append(tone(800) + silence(1000))
    talk.finish()

    assert talk.last("response.output_text.done")["text"] == "[echo of 1.0 s]"


async def test_what_is_heard_comes_in_turn_and_the_last_for_ever():
    parts = scripted_parts(Script(heard=("One.", "Two.")))

    words = [await heard(parts.transcriber, b"") for _ in range(3)]

    assert words == ["One.", "Two.", "Two."]


async def test_every_session_has_its_own_replies():
    parts = scripted_parts(Script(replies=("First: {heard}", "Later: {heard}")))
    one, other = parts.make_responder(), parts.make_responder()

    assert [await replied(one, word) for word in "abc"] == [
        as_reply("First: a"),
        as_reply("Later: b"),
        as_reply("Later: c"),
    ]
    assert await replied(other, "d") == as_reply("First: d")


async def test_what_was_heard_stands_in_every_message_and_in_nothing_else():
    call = FunctionCall("f", {"said": "{heard}"})
    reply = Reply((SpokenMessage("{heard}?", phase="commentary"), call), interleaving="in_turn")

    assert await replied(ScriptedResponder((reply,)), "Hello") == Reply(
        (SpokenMessage("Hello?", phase="commentary"), call), interleaving="in_turn"
    )


def test_responses_out_of_band_have_lines_of_their_own():
    script = Script(replies=("One.", "Two."), asides=("Aside: {heard}",))
    talk = Talk(scripted_parts(script))
    talk.say("session.update", session=TEXT)
    talk.type("Hello")
    for conversation in ("none", "auto", "none", "auto"):
        talk.say("response.create", response={"conversation": conversation})
        talk.finish()

    said = [event["text"] for event in talk.of("response.output_text.done")]
    assert said == ["Aside: Hello", "One.", "Aside: Hello", "Two."]
    ids = [event["response"]["conversation_id"] for event in talk.of("response.done")]
    assert [bool(known) for known in ids] == [False, True, False, True]
    assert len(talk.of("conversation.item.added")) == 1 + 2  # what was typed, two answers


async def test_without_lines_of_their_own_they_take_the_next_reply():
    responder = ScriptedResponder(("One.", "Two."))

    assert await replied(responder, "", aside=True) == as_reply("One.")
    assert await replied(responder, "") == as_reply("Two.")


async def test_the_default_script():
    parts = scripted_parts()

    assert parts.name == "scripted"
    words = await heard(parts.transcriber, b"")
    assert await replied(parts.make_responder(), words) == as_reply("You said: Hello there.")
    for resource in parts.everything:
        await resource.prepare()
    await parts.aclose()

"""The voice that gives people their own words back."""

import base64

from relay.parts.simple import echo_parts, silence, tone
from tests.engines.cascade.driving import TEXT, TRANSCRIBED, Talk


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

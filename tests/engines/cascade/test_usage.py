"""Tokens follow from the real amounts."""

from typing import Any

import pytest

from relay.engines.cascade import items as usage
from relay.parts.simple import silence, tone
from tests.engines.cascade.driving import TEXT, TRANSCRIBED, Talk, scripted


def used(talk: Talk) -> dict[str, Any]:
    done: dict[str, Any] = talk.last("response.done")["response"]["usage"]
    return done


def test_a_token_is_100_ms_heard_and_50_ms_spoken():
    talk = Talk(scripted(replies=("Ten chars.",)))  # 600 ms of tone
    talk.append(tone(1000) + silence(1000))
    talk.finish()

    tokens = used(talk)
    assert tokens["input_token_details"]["audio_tokens"] == 12  # 1000 ms and 200 ms of silence
    assert tokens["output_token_details"] == {"text_tokens": 2, "audio_tokens": 12}
    assert tokens["total_tokens"] == tokens["input_tokens"] + tokens["output_tokens"]
    details = tokens["input_token_details"]
    assert tokens["input_tokens"] == details["text_tokens"] + details["audio_tokens"]


def test_the_whole_conversation_is_taken_in_each_time():
    talk = Talk(scripted(replies=("Ten chars.",)))
    for _ in range(2):
        talk.append(tone(1000) + silence(1000))
        talk.finish()

    assert used(talk)["input_token_details"]["audio_tokens"] == 12 + 6 + 15  # with a prefix


def test_a_text_turn_has_text_alone():
    talk = Talk()
    talk.say("session.update", session={**TEXT, "instructions": "x" * 40})
    talk.type("y" * 40)
    talk.say("response.create")
    talk.finish()

    tokens = used(talk)
    assert tokens["input_token_details"]["text_tokens"] == 20
    assert tokens["input_token_details"]["audio_tokens"] == 0
    assert tokens["output_token_details"] == {"text_tokens": 3, "audio_tokens": 0}


@pytest.mark.parametrize(
    ("recording", "taken", "cached"),
    [
        ("b02", (869, 42), (832, 0)),
        ("b03", (181, 114), (128, 64)),
        ("ga05", (103, 0), (64, 0)),
        ("ga16", (401, 0), (384, 0)),
        ("p02", (139, 0), (128, 0)),
    ],
)
def test_later_responses_find_blocks_in_the_cache_as_recorded(
    recording: str, taken: tuple[int, int], cached: tuple[int, int]
):
    later = usage.response_usage(taken, 10, 0, first=False)["input_token_details"]
    first = usage.response_usage(taken, 10, 0)["input_token_details"]

    shares = later["cached_tokens_details"]
    assert (shares["text_tokens"], shares["audio_tokens"]) == cached
    assert later["cached_tokens"] == sum(cached)
    assert first["cached_tokens"] == 0


def test_a_session_pays_less_for_what_it_said_before():
    talk = Talk()
    talk.say("session.update", session={**TEXT, "instructions": "x" * 4000})
    cached = []
    for _ in range(2):
        talk.type("Hello")
        talk.say("response.create")
        talk.finish()
        cached.append(used(talk)["input_token_details"]["cached_tokens"])

    assert cached == [0, 960]


def test_a_transcript_is_paid_by_seconds_or_by_tokens():
    whisper = usage.transcription_usage("gpt-realtime-whisper", 2100, 5)
    tokens = usage.transcription_usage("gpt-4o-mini-transcribe", 2100, 5)

    assert whisper == {"type": "duration", "seconds": 3}
    assert (tokens["input_tokens"], tokens["output_tokens"], tokens["total_tokens"]) == (21, 5, 26)


def test_both_are_events_as_openai_types_them():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    talk.do_work()
    mini = {"transcription": {"model": "gpt-4o-mini-transcribe"}}
    talk.say("session.update", session={"type": "realtime", "audio": {"input": mini}})
    talk.speak()
    talk.do_work()

    completed = talk.of("conversation.item.input_audio_transcription.completed")
    assert [event["usage"]["type"] for event in completed] == ["duration", "tokens"]

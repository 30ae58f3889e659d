"""Transcriptions by the `openai` client."""

import io
import json
import wave

import pytest
from openai import BadRequestError, InternalServerError, RateLimitError

from relay.parts.interfaces import PartFailed
from relay.parts.simple import tone
from tests.simulator.http.twin import a_twin


def wav(pcm: bytes, rate: int = 24_000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return out.getvalue()


HELLO = ("hello.wav", wav(tone(2500)))


async def test_a_file_is_written_down():
    async with a_twin() as twin:
        heard = await twin.client.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=HELLO, language="en", prompt="Morning"
        )

    assert heard.text == "Good morning."
    assert heard.usage is not None
    assert heard.usage.type == "tokens"
    assert heard.usage.input_token_details is not None
    assert heard.usage.input_token_details.audio_tokens == 25
    (request,) = twin.hearing.requests
    assert request.pcm == tone(2500)
    assert (request.language, request.prompt, request.max_wait) == ("en", "Morning", 30.0)


async def test_words_are_streamed_as_they_become_certain():
    async with (
        a_twin() as twin,
        await twin.client.audio.transcriptions.create(
            model="gpt-4o-transcribe", file=HELLO, stream=True
        ) as stream,
    ):
        events = [event async for event in stream]

    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert deltas == ["Good", " mornin", "g", "."]
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert done.text == "Good morning."
    assert done.usage is not None
    assert done.usage.total_tokens == 29


async def test_whisper_tells_more_and_does_not_stream():
    async with a_twin() as twin:
        transcribe = twin.client.audio.transcriptions
        verbose = await transcribe.create(
            model="whisper-1", file=HELLO, response_format="verbose_json"
        )
        whole = await transcribe.with_raw_response.create(
            model="whisper-1", file=HELLO, stream=True
        )
        body = json.loads(await whole.http_response.aread())

    assert (verbose.text, verbose.duration, verbose.language) == ("Good morning.", 2.5, "english")
    assert verbose.segments is not None
    assert [segment.text for segment in verbose.segments] == ["Good morning."]
    assert whole.headers["content-type"] == "application/json"
    assert body["usage"] == {"type": "duration", "seconds": 2}


async def test_a_transcript_may_be_plain_text():
    async with a_twin() as twin:
        text = await twin.client.audio.transcriptions.create(
            model="gpt-4o-transcribe", file=HELLO, response_format="text"
        )

    assert text == "Good morning.\n"


async def test_what_was_not_understood_is_empty():
    async with a_twin(hears=()) as twin:
        heard = await twin.client.audio.transcriptions.create(model="whisper-1", file=HELLO)

    assert heard.text == ""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("code", "error"), [("busy", RateLimitError), ("unavailable", InternalServerError)]
)
async def test_a_part_that_fails_at_once_is_an_error(streamed: bool, code, error):
    async with a_twin(hears=(PartFailed("transcriber", code, "secret"),)) as twin:
        with pytest.raises(error) as refused:
            await twin.client.audio.transcriptions.create(
                model="gpt-4o-transcribe", file=HELLO, stream=streamed
            )

    assert refused.value.body["message"] == f"The transcriber failed: {code}."


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (("a.wav", wav(tone(50))), "audio_too_short"),
        (("a.wav", b"RIFF nothing of the kind"), "invalid_value"),
        (("a.mp3", b"no sound at all"), "invalid_value"),
        (("a.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"), "invalid_value"),
    ],
)
async def test_a_file_without_sound_is_refused(file: tuple[str, bytes], code: str):
    async with a_twin() as twin:
        with pytest.raises(BadRequestError) as refused:
            await twin.client.audio.transcriptions.create(model="whisper-1", file=file)

    assert (refused.value.code, refused.value.param) == (code, "file")
    assert not twin.hearing.requests


async def test_a_newer_model_has_no_verbose_transcripts():
    async with a_twin() as twin:
        with pytest.raises(BadRequestError) as refused:
            await twin.client.audio.transcriptions.create(
                model="gpt-4o-transcribe", file=HELLO, response_format="verbose_json"
            )

    assert refused.value.param == "response_format"

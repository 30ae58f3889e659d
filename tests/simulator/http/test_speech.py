"""Speech by the `openai` client."""

import io
import wave
from typing import Any

import pytest
from openai import BadRequestError, InternalServerError

from relay.parts.interfaces import PartFailed, SynthesisRequest
from relay.simulator.http import sound, speech
from tests.components import needs
from tests.simulator.http.twin import SOUND, a_twin

ALLOY: dict[str, Any] = {"model": "gpt-4o-mini-tts", "voice": "alloy"}


async def test_pcm_comes_as_it_is_made():
    async with (
        a_twin(speaks=(SOUND, ...)) as twin,
        twin.client.audio.speech.with_streaming_response.create(
            **ALLOY, input="Good morning.", response_format="pcm", speed=1.5
        ) as answer,
    ):
        heard = b""
        async for piece in answer.iter_bytes():
            heard += piece
            if len(heard) == len(SOUND):
                break

    assert heard == SOUND
    assert answer.headers["content-type"] == "audio/pcm"
    assert twin.speaking.requests == [SynthesisRequest("Good morning.", "alloy", 1.5, 30.0)]
    assert twin.speaking.stopped.is_set()


async def test_a_wav_of_unknown_length_can_be_read():
    async with a_twin() as twin:
        answer = await twin.client.audio.speech.create(
            **ALLOY, input="Good morning.", response_format="wav"
        )

    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.readframes(file.getnframes()) == SOUND * 2


@needs("codecs")
@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac"])
async def test_other_formats_can_be_decoded_again(kind: Any):
    async with a_twin(speaks=[SOUND] * 10) as twin:
        answer = await twin.client.audio.speech.create(
            **ALLOY, input="Good morning.", response_format=kind
        )

    pcm = sound.decode(answer.content)
    assert 2.0 <= len(pcm) / 48_000 <= 2.3  # an encoder may add some silence
    assert max(pcm[1::2]) > 0


@needs("codecs")
async def test_mp3_is_what_nobody_asked_for():
    async with a_twin() as twin:
        answer = await twin.client.audio.speech.create(**ALLOY, input="Good morning.")

    assert answer.response.headers["content-type"] == "audio/mpeg"


async def test_without_codecs_mp3_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speech, "has_codecs", lambda: False)
    async with a_twin() as twin:
        with pytest.raises(BadRequestError, match="'mp3' needs the `av` package") as refused:
            await twin.client.audio.speech.create(**ALLOY, input="Good morning.")

    assert refused.value.param == "response_format"


async def test_speech_as_events():
    async with a_twin() as twin:
        answer = await twin.client.audio.speech.create(
            **ALLOY, input="Good morning.", response_format="pcm", stream_format="sse"
        )

    events = [line for line in answer.content.decode().split("\n\n") if line]
    assert len(events) == 3
    assert '"speech.audio.delta"' in events[0]
    assert '"speech.audio.done"' in events[-1]
    assert '"usage"' in events[-1]


async def test_a_text_without_words_is_silent():
    async with a_twin(speaks=()) as twin:
        answer = await twin.client.audio.speech.create(**ALLOY, input="…", response_format="pcm")

    assert answer.content == b""


@pytest.mark.parametrize(
    ("field", "value"),
    [("input", ""), ("input", "x" * 4097), ("speed", 5.0), ("response_format", "midi")],
)
async def test_what_cannot_be_spoken(field: str, value: object):
    async with a_twin() as twin:
        with pytest.raises(BadRequestError) as refused:
            await twin.client.audio.speech.create(**{**ALLOY, "input": "Hello.", field: value})

    assert refused.value.param == field
    assert not twin.speaking.requests


@pytest.mark.parametrize("kind", ["pcm", "wav"])
async def test_a_failure_before_the_first_sound_is_an_error(kind: Any):
    async with a_twin(speaks=(PartFailed("synthesizer", "failed"),)) as twin:
        with pytest.raises(InternalServerError, match="The synthesizer failed: failed"):
            await twin.client.audio.speech.create(**ALLOY, input="Hello.", response_format=kind)

"""Speech by OpenAI's and other people's servers."""

import pytest

from relay.parts.interfaces import SynthesisRequest
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_tts import OpenAISynthesizer
from tests.parts.conformance import joined
from tests.parts.subjects import openai_client

OPENAI = "https://api.openai.com/v1"
OWN = "http://localhost:8000/v1"


async def test_the_voice_and_the_speed_go_along() -> None:
    async with openai_client() as (double, made):
        part = OpenAISynthesizer(made, "gpt-4o-mini-tts")
        await anext(part.synthesize(SynthesisRequest("Hello.", "marin", 1.5)))
        await anext(part.synthesize(SynthesisRequest("Hello.")))

    first, second = double.bodies
    assert (first["voice"], first["speed"]) == ("marin", 1.5)
    assert second == {
        "model": "gpt-4o-mini-tts",
        "input": "Hello.",
        "voice": "alloy",
        "response_format": "pcm",
    }


async def test_what_has_no_words_is_not_sent() -> None:
    async with openai_client() as (double, made):
        part = OpenAISynthesizer(made, "gpt-4o-mini-tts")
        for text in ("", " \n", "…", "?!", "👍"):
            assert joined([pcm async for pcm in part.synthesize(SynthesisRequest(text))]) == ""

    assert double.headers == []


@pytest.mark.parametrize(
    ("address", "model", "configured", "asked", "voice"),
    [
        (OPENAI, "gpt-4o-mini-tts", "", "", "alloy"),
        (OPENAI, "gpt-4o-mini-tts", "nova", "", "nova"),
        (OPENAI, "gpt-4o-mini-tts", "nova", "marin", "marin"),
        (OPENAI, "tts-1", "", "marin", "alloy"),
        (OPENAI, "tts-1-hd", "", "nova", "nova"),
        (OWN, "kokoro", "", "marin", "marin"),
        (OWN, "kokoro", "af_heart", "marin", "af_heart"),
    ],
)
def test_which_voice_speaks(
    address: str, model: str, configured: str, asked: str, voice: str
) -> None:
    part = OpenAISynthesizer(OpenAIClient(address, "k"), model, configured)

    assert part._voice_for(asked) == voice

"""Transcription and speech by Azure Speech."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.parts import azure as parts
from relay.parts.azure import AzureSynthesizer, AzureTranscriber, ssml
from relay.parts.interfaces import PartFailed, SynthesisRequest, TranscriptionRequest
from relay.parts.simple import silence, tone
from tests.parts.doubles.azure_speech import SSML, azure_speech
from tests.parts.subjects import azure

TURN = TranscriptionRequest(tone(400, 800))


async def words(part: AzureTranscriber, request: TranscriptionRequest = TURN) -> list[str]:
    return [piece async for piece in part.transcribe(request)]


# ---------------------------------------------------------------------------- transcription


@pytest.mark.parametrize(
    ("configured", "asked", "sent"),
    [
        ("en-US", None, "en-US"),
        ("en-GB", "en", "en-GB"),
        ("en-GB", "de", "de-DE"),
        ("de", None, "de-DE"),
        ("en-US", "xx", "en-US"),
    ],
)
async def test_a_turn_is_in_one_locale(configured: str, asked: str | None, sent: str) -> None:
    async with azure_speech() as (double, address):
        part = AzureTranscriber("azure-key-of-the-double", "", configured, address)
        await words(part, TranscriptionRequest(TURN.pcm, asked))
        await part.aclose()

    assert double.bodies == [{"language": sent, "format": "simple"}]


def test_it_says_which_languages_it_knows() -> None:
    languages = AzureTranscriber("k", "westeurope", "gl-ES").languages

    assert {"en", "de", "ja", "gl"} <= set(languages)


async def test_a_turn_longer_than_a_request_may_be_is_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "_PIECE_BYTES", 48_000)
    async with azure() as (double, part, _):
        heard = await words(part, TranscriptionRequest(tone(1500, 800) + tone(500, 400)))

    assert heard == ["A tone of 800 hertz.", " A tone of 600 hertz."]
    assert len(double.bodies) == 2


@pytest.mark.parametrize("status", ["NoMatch", "InitialSilenceTimeout", "BabbleTimeout"])
async def test_what_it_did_not_understand_is_nothing(status: str) -> None:
    async with azure() as (double, part, _):
        double.recognition = status
        assert await words(part) == []


@pytest.mark.parametrize("status", ["Error", "SomethingNew"])
async def test_an_error_in_its_answer_is_a_failure(status: str) -> None:
    async with azure() as (double, part, _):
        double.recognition = status
        with pytest.raises(PartFailed, match="transcriber failed: recognition error"):
            await words(part)


async def test_silence_is_nothing_and_what_is_too_short_is_not_sent() -> None:
    async with azure() as (double, part, _):
        assert await words(part, TranscriptionRequest(silence(500))) == []
        assert await words(part, TranscriptionRequest(tone(90))) == []

    assert len(double.headers) == 1


async def test_a_wrong_key_is_told_by_its_status() -> None:
    async with azure_speech() as (_, address):
        part = AzureTranscriber("wrong", "", "en-US", address)
        with pytest.raises(PartFailed) as raised:
            await words(part)
        await part.aclose()

    assert str(raised.value) == "transcriber unauthorized: 401 401"


def test_without_an_endpoint_the_regions_address_is_used() -> None:
    transcriber = AzureTranscriber("k", "westeurope", "en-US")
    synthesizer = AzureSynthesizer("k", "westeurope")

    assert transcriber._service._base_url == "https://westeurope.stt.speech.microsoft.com"
    assert synthesizer._service._base_url == "https://westeurope.tts.speech.microsoft.com"


# ----------------------------------------------------------------------------------- speech


async def speak(request: SynthesisRequest) -> object:
    """Let it speak; return voice, text and rate as Azure read them."""
    async with azure() as (double, _, part):
        assert [pcm async for pcm in part.synthesize(request)]
    return double.bodies[0]


async def test_markup_is_read_aloud_and_not_followed() -> None:
    text = "a < b & c > d </voice><voice name='x'>\"quoted\" \x00\x0b\ud800"

    assert await speak(SynthesisRequest(text)) == (
        "en-US-JennyNeural",
        "a < b & c > d </voice><voice name='x'>\"quoted\"    ",
        None,
    )


async def test_one_of_its_own_voices_may_be_asked_for() -> None:
    katja = "de-DE-KatjaNeural"

    assert await speak(SynthesisRequest("Hallo.", katja)) == (katja, "Hallo.", None)
    assert await speak(SynthesisRequest("Hi.", "marin")) == ("en-US-JennyNeural", "Hi.", None)


@pytest.mark.parametrize(("speed", "rate"), [(0.25, "0.5"), (1.25, "1.25"), (4.0, "2")])
async def test_it_speaks_as_fast_as_it_can(speed: float, rate: str) -> None:
    assert await speak(SynthesisRequest("Hi.", speed=speed)) == ("en-US-JennyNeural", "Hi.", rate)


@given(st.text(), st.floats(0.25, 4.0))
def test_ssml_holds_any_text_and_nothing_else(text: str, speed: float) -> None:
    speak = ET.fromstring(ssml(text, "en-US-JennyNeural", speed))  # noqa: S314 - our own

    tags = [element.tag.removeprefix(SSML) for element in speak.iter()]
    assert tags == (["speak", "voice"] if speed == 1.0 else ["speak", "voice", "prosody"])
    spoken = [character for character in "".join(speak.itertext()) if character.isalnum()]
    assert spoken == [character for character in text if character.isalnum()]

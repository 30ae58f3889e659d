"""The remote parts as `Subject`s, each on a double of its provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from relay.parts.azure import AzureSynthesizer, AzureTranscriber
from relay.parts.elevenlabs import ElevenLabsSynthesizer
from relay.parts.fallback import FallbackResponder, FallbackSynthesizer, FallbackTranscriber
from relay.parts.interfaces import (
    Message,
    ReplyRequest,
    SynthesisRequest,
    TranscriptionRequest,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from relay.parts.openai_stt import OpenAITranscriber
from relay.parts.openai_tts import OpenAISynthesizer
from relay.parts.simple import tone
from tests.parts.conformance import Known, Subject, joined
from tests.parts.doubles import azure_speech, elevenlabs
from tests.parts.doubles.azure_speech import AzureDouble
from tests.parts.doubles.double import Double, Fault
from tests.parts.doubles.elevenlabs import ElevenLabsDouble
from tests.parts.doubles.ollama import MODEL, ollama
from tests.parts.doubles.openai_api import KEY, OpenAIDouble, openai_api

Opened = Callable[[], AbstractAsyncContextManager[Subject]]

LONG_TEXT = "One sentence that takes a while to say, and another one after it."


def heard(hertz: int) -> Known:
    """A turn of that pitch, and the words for it."""
    request = TranscriptionRequest(tone(800, hertz), "en")
    return Known(request, lambda pieces: f"{hertz} hertz" in joined(pieces))


def spoken(text: str) -> Known:
    """A text, and sound of the length of it."""
    size = len(text) * 20 * 48
    return Known(SynthesisRequest(text), lambda pieces: len(joined(pieces)) == size)


def answered(text: str) -> Known:
    """A message, and an answer that repeats it."""
    return Known(asked(text), lambda pieces: joined(pieces) == f"You said: {text}.")


def asked(text: str) -> ReplyRequest:
    return ReplyRequest((Message("user", text),), instructions="Be short.")


def _faults(double: Double, after: int) -> dict[str, Any]:
    """How to slow down, watch and break a part that has this double as its far end."""

    async def begun() -> None:
        await double.until(lambda: double.sent >= after and double.under_way > 0)

    def slow_down() -> None:
        double.sent = 0
        double.faults.append(Fault(stall_after=after))

    def break_down() -> None:
        double.faults.append(Fault(status=500))

    return {
        "slow_down": slow_down,
        "begun": begun,
        "rest": double.rest,
        "break_down": break_down,
        "far_end": double,
    }


def transcribing(part: Any, double: Double, streams: bool = True) -> Subject:
    # One that does not stream gives no piece before its answer is whole.
    faults = _faults(double, 2 if streams else 4)
    return Subject(
        "transcriber",
        part,
        (heard(400), heard(1000)),
        TranscriptionRequest(tone(3000, 500)),
        TranscriptionRequest(b""),
        streams=streams,
        **faults,
    )


def responding(part: Any, double: Double) -> Subject:
    known = (answered("Good morning"), answered("How are you"))
    return Subject("responder", part, known, asked(LONG_TEXT), ReplyRequest(), **_faults(double, 4))


def synthesizing(part: Any, double: Double) -> Subject:
    known = (spoken("Hello."), spoken("Good morning to you!"))
    request = SynthesisRequest(LONG_TEXT)
    return Subject(
        "synthesizer", part, known, request, SynthesisRequest(" … "), **_faults(double, 3)
    )


@asynccontextmanager
async def client(address: str, key: str = KEY) -> AsyncIterator[OpenAIClient]:
    made = OpenAIClient(address, key)
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def openai_client() -> AsyncIterator[tuple[OpenAIDouble, OpenAIClient]]:
    async with openai_api() as (double, address), client(address) as made:
        double.limit = "max_tokens"  # what an address that is not OpenAI's is asked for
        yield double, made


@asynccontextmanager
async def openai_transcriber() -> AsyncIterator[Subject]:
    async with openai_client() as (double, made):
        yield transcribing(OpenAITranscriber(made, "gpt-4o-mini-transcribe"), double)


@asynccontextmanager
async def openai_whisper() -> AsyncIterator[Subject]:
    async with openai_client() as (double, made):
        yield transcribing(OpenAITranscriber(made, "whisper-1"), double, streams=False)


@asynccontextmanager
async def openai_responder() -> AsyncIterator[Subject]:
    async with openai_client() as (double, made):
        yield responding(OpenAIResponder(made, "gpt-4o-mini"), double)


@asynccontextmanager
async def ollama_responder() -> AsyncIterator[Subject]:
    async with ollama() as (double, address), client(f"{address}/v1", "") as made:
        yield responding(OpenAIResponder(made, MODEL), double)


@asynccontextmanager
async def openai_synthesizer() -> AsyncIterator[Subject]:
    async with openai_client() as (double, made):
        yield synthesizing(OpenAISynthesizer(made, "gpt-4o-mini-tts"), double)


@asynccontextmanager
async def eleven() -> AsyncIterator[tuple[ElevenLabsDouble, ElevenLabsSynthesizer]]:
    async with elevenlabs.elevenlabs() as (double, address):
        part = ElevenLabsSynthesizer(elevenlabs.KEY, elevenlabs.VOICE, base_url=address)
        try:
            yield double, part
        finally:
            await part.aclose()


@asynccontextmanager
async def elevenlabs_synthesizer() -> AsyncIterator[Subject]:
    async with eleven() as (double, part):
        yield synthesizing(part, double)


@asynccontextmanager
async def azure(
    within: float = 60.0,
) -> AsyncIterator[tuple[AzureDouble, AzureTranscriber, AzureSynthesizer]]:
    async with azure_speech.azure_speech() as (double, address):
        key = azure_speech.KEY
        transcriber = AzureTranscriber(key, "", "en-US", address, within)
        synthesizer = AzureSynthesizer(key, "", "", address, within)
        try:
            yield double, transcriber, synthesizer
        finally:
            await transcriber.aclose()
            await synthesizer.aclose()


@asynccontextmanager
async def azure_transcriber() -> AsyncIterator[Subject]:
    async with azure() as (double, part, _):
        yield transcribing(part, double, streams=False)


@asynccontextmanager
async def azure_synthesizer() -> AsyncIterator[Subject]:
    async with azure() as (double, _, part):
        yield synthesizing(part, double)


@asynccontextmanager
async def fallback_transcriber() -> AsyncIterator[Subject]:
    async with openai_transcriber() as usual, azure_transcriber() as other:
        yield _together(usual, other, FallbackTranscriber)


@asynccontextmanager
async def fallback_responder() -> AsyncIterator[Subject]:
    async with openai_responder() as usual, ollama_responder() as other:
        yield _together(usual, other, FallbackResponder)


@asynccontextmanager
async def fallback_synthesizer() -> AsyncIterator[Subject]:
    async with elevenlabs_synthesizer() as usual, openai_synthesizer() as other:
        yield _together(usual, other, FallbackSynthesizer)


def _together(usual: Subject, other: Subject, combine: Callable[[Any, Any], Any]) -> Subject:
    """Both parts as one, which breaks down only when both do."""

    def break_down() -> None:
        for subject in (usual, other):
            assert subject.break_down
            subject.break_down()

    return Subject(
        usual.kind,
        combine(usual.part, other.part),
        usual.known,
        usual.long,
        usual.empty,
        slow_down=usual.slow_down,
        begun=usual.begun,
        rest=usual.rest,
        break_down=break_down,
    )


REMOTE: dict[str, Opened] = {
    "openai transcriber": openai_transcriber,
    "openai whisper": openai_whisper,
    "azure transcriber": azure_transcriber,
    "openai responder": openai_responder,
    "ollama responder": ollama_responder,
    "openai synthesizer": openai_synthesizer,
    "elevenlabs synthesizer": elevenlabs_synthesizer,
    "azure synthesizer": azure_synthesizer,
}

SUBJECTS: dict[str, Opened] = {
    **REMOTE,
    "fallback transcriber": fallback_transcriber,
    "fallback responder": fallback_responder,
    "fallback synthesizer": fallback_synthesizer,
}

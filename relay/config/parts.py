"""Decides which parts the cascade is made of, where they are, and which key goes there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from relay.config.settings import Settings

SttKind = Literal["openai", "local", "azure"]
LlmKind = Literal["openai", "local"]
TtsKind = Literal["openai", "elevenlabs", "azure", "local"]

OPENAI_HOST: Final = "api.openai.com"
OPENAI_LLM: Final = "gpt-4.1-mini"
OPENAI_STT: Final = "gpt-4o-mini-transcribe"
OPENAI_TTS: Final = "gpt-4o-mini-tts"
AZURE_STT: Final = "azure-speech"
AZURE_TTS: Final = "azure-neural"
ELEVENLABS_TTS: Final = "eleven_flash_v2_5"
FIRST_LISTED: Final = "first listed"
"""What a text model is called whose name is not set: the first that its server lists."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The base URL of a server like OpenAI's, the key for it ("" for none) and the model there.

    The model is "" where the server is to be asked for the first it lists.
    """

    base_url: str
    key: str
    model: str


@dataclass(frozen=True, slots=True)
class PartsPlan:
    """Which parts a cascade is made of, and those that take over when one fails."""

    stt: SttKind
    llm: LlmKind
    tts: TtsKind
    stt_fallback: SttKind | None = None
    llm_fallback: LlmKind | None = None
    tts_fallback: TtsKind | None = None

    @property
    def remote(self) -> bool:
        """Tell whether a provider may charge for any of them."""
        kinds = (self.stt, self.llm, self.tts, self.stt_fallback, self.llm_fallback)
        return any(kind not in (None, "local") for kind in (*kinds, self.tts_fallback))


def plan_parts(settings: Settings, ollama: str | None = None) -> PartsPlan:
    """Choose the parts; `ollama` is the base URL of one that was found on this machine."""
    offline = settings.relay_engine == "offline"
    keyed = has_key(settings)
    text_model = settings.llm_base_url or settings.ollama_host or ollama
    fallbacks = dict(_fallbacks(settings))
    return PartsPlan(
        stt="local" if offline else settings.relay_stt or ("openai" if keyed else "local"),
        llm=settings.relay_llm or ("openai" if text_model or keyed else "local"),
        tts="local" if offline else settings.relay_tts or ("openai" if keyed else "local"),
        stt_fallback=fallbacks.get("stt"),  # type: ignore[arg-type]  # checked by the settings
        llm_fallback=fallbacks.get("llm"),  # type: ignore[arg-type]
        tts_fallback=fallbacks.get("tts"),  # type: ignore[arg-type]
    )


def _fallbacks(settings: Settings) -> Iterator[tuple[str, str]]:
    for entry in settings.relay_fallback:
        part, _, kind = entry.rpartition("=")
        if part:
            yield part, kind
        else:
            yield from (("stt", "local"), ("llm", "local"), ("tts", "local"))


def has_key(settings: Settings) -> bool:
    """Tell whether there is a key, or a server of one's own that may want none."""
    return settings.openai_api_key is not None or "openai_base_url" in settings.model_fields_set


def stt_endpoint(settings: Settings, model: str = "") -> Endpoint:
    """Return where the OpenAI transcriber is; `model` is the one that is asked for there."""
    base = http_url(settings.openai_base_url)
    own = _secret(settings.whisper_api_key) or _secret(settings.openai_api_key)
    return Endpoint(base, own, model or OPENAI_STT)


def tts_endpoint(settings: Settings, model: str = "") -> Endpoint:
    """Return where the OpenAI synthesizer is; `model` is the one that is asked for there."""
    base = http_url(settings.openai_base_url)
    return Endpoint(base, _secret(settings.openai_api_key), model or OPENAI_TTS)


def llm_endpoint(settings: Settings, ollama: str | None = None) -> Endpoint:
    """Return where the text model is; OpenAI's key goes to OPENAI_BASE_URL's origin alone."""
    own = http_url(settings.openai_base_url)
    host = settings.ollama_host or ollama
    base = settings.llm_base_url or (f"{host.rstrip('/')}/v1" if host else own)
    key = _secret(settings.llm_api_key)
    if not key and _origin(base) == _origin(own):
        key = _secret(settings.openai_api_key)
    standard = OPENAI_LLM if urlsplit(base).hostname == OPENAI_HOST else ""
    return Endpoint(base, key, settings.llm_model or standard)


def billed_models(settings: Settings, ollama: str | None = None) -> frozenset[str]:
    """Name the models that may cost money: those of servers which are given a key.

    A server of one's own that wants no key, such as Ollama, is free, and so is what runs here.
    """
    plan = plan_parts(settings, ollama)
    names = [*_billed_stt(plan.stt, settings, settings.stt_model or "")]
    names += _billed_stt(plan.stt_fallback, settings, "")
    names += _billed_tts(plan.tts, settings, settings.tts_model or "")
    names += _billed_tts(plan.tts_fallback, settings, "")
    if "openai" in (plan.llm, plan.llm_fallback):
        names += _if_keyed(llm_endpoint(settings, ollama))
    return frozenset(names)


def _billed_stt(kind: SttKind | None, settings: Settings, model: str) -> tuple[str, ...]:
    match kind:
        case "openai":
            return _if_keyed(stt_endpoint(settings, model))
        case "azure":
            return (AZURE_STT,)
        case "local" | None:
            return ()


def _billed_tts(kind: TtsKind | None, settings: Settings, model: str) -> tuple[str, ...]:
    match kind:
        case "openai":
            return _if_keyed(tts_endpoint(settings, model))
        case "elevenlabs":
            return (model or ELEVENLABS_TTS,)
        case "azure":
            return (AZURE_TTS,)
        case "local" | None:
            return ()


def _if_keyed(there: Endpoint) -> tuple[str, ...]:
    return (there.model or FIRST_LISTED,) if there.key else ()


def missing_for_parts(settings: Settings) -> Iterator[str]:
    """Report what the chosen parts lack."""
    if settings.relay_engine not in ("cascade", "offline"):
        if settings.relay_fallback:
            yield "RELAY_FALLBACK is for the parts of RELAY_ENGINE=cascade: unset it"
        return
    plan = plan_parts(settings)
    if "azure" in (plan.stt, plan.stt_fallback, plan.tts, plan.tts_fallback):
        yield from _missing(
            "Azure Speech",
            azure_speech_key=settings.azure_speech_key,
            azure_speech_region=settings.azure_speech_region,
        )
    if "elevenlabs" in (plan.tts, plan.tts_fallback):
        voice = settings.elevenlabs_voice_id or (plan.tts == "elevenlabs" and settings.tts_voice)
        yield from _missing(
            "ElevenLabs", elevenlabs_api_key=settings.elevenlabs_api_key, elevenlabs_voice_id=voice
        )
    keyless = [part for part, there in _endpoints(settings, plan) if _wants_key(there)]
    if keyless:
        yield f"OPENAI_API_KEY is not set: it is needed for the {' and the '.join(keyless)}"


def _missing(service: str, **needed: object) -> Iterator[str]:
    names = [name.upper() for name, value in needed.items() if not value]
    if names:
        yield f"{service} needs {' and '.join(names)}: set what is missing, or choose another part"


def _endpoints(settings: Settings, plan: PartsPlan) -> Iterator[tuple[str, Endpoint]]:
    """Each part that asks a server like OpenAI's, and where that is."""
    if "openai" in (plan.stt, plan.stt_fallback):
        yield "transcriber", stt_endpoint(settings)
    if "openai" in (plan.llm, plan.llm_fallback):
        yield "responder", llm_endpoint(settings)
    if "openai" in (plan.tts, plan.tts_fallback):
        yield "synthesizer", tts_endpoint(settings)


def _wants_key(there: Endpoint) -> bool:
    return not there.key and urlsplit(there.base_url).hostname == OPENAI_HOST


def http_url(url: str) -> str:
    """Return an address of the Realtime API's server as the base of its HTTP side."""
    parts = urlsplit(url)
    scheme = parts.scheme.replace("ws", "http", 1)
    path = parts.path.rstrip("/").removesuffix("/realtime")
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    standard = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname, parts.port or standard


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""

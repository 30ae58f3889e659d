"""The settings: every name that the environment may set, its default and its meaning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from relay.egress import read_proxy
from relay.proxies import LOOPBACK_NETWORKS, TrustedProxies

MIN_TOKEN_SECRET = 32  # bytes: as long as the hash that it keys


def url(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be an address that begins with {schemes[0]}://")
        return value.rstrip("/")

    return check


def address(value: object) -> object:
    """Read an address as URLs write it, too: IPv6 in brackets."""
    bare = isinstance(value, str) and value.startswith("[") and value.endswith("]")
    return value[1:-1] if isinstance(value, str) and bare else value


def issuer(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("has a space, a line break or a character that no issuer has")
    return value


def key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise ValueError("has a space, a line break or a character that no key has")
    return value


def proxy(value: SecretStr) -> SecretStr:
    read_proxy(value.get_secret_value())
    return value


def shared_secret(value: SecretStr) -> SecretStr:
    if "-----BEGIN" in value.get_secret_value():
        raise ValueError("is a key file; the shared HS256 secret is wanted (keys: SUPABASE_URL)")
    return value


def token_secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().encode()) < MIN_TOKEN_SECRET:
        raise ValueError(f"is shorter than {MIN_TOKEN_SECRET} bytes and could be guessed")
    return value


def level(value: object) -> object:
    text = str(value).lower()
    return "warning" if text == "warn" else text


def origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    entries = [entry.strip().rstrip("/").lower() for entry in value.split(",") if entry.strip()]
    for origin in entries:
        parts = urlsplit(origin)
        if origin != "*" and (f"{parts.scheme}://{parts.netloc}" != origin or not parts.hostname):
            raise ValueError("must be origins separated by commas, like https://app.example.org")
    return () if "*" in entries else tuple(entries)


def networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    entries = tuple(entry.strip() for entry in value.split(",") if entry.strip())
    if entries == ("none",):
        return ()
    try:
        TrustedProxies(entries)
    except ValueError:
        raise ValueError(
            "must be addresses or networks with commas between, like 127.0.0.0/8,::1, or none"
        ) from None
    return entries


def ollama(value: object) -> object:
    """Read an address as Ollama does: the scheme and the port may be missing."""
    if not isinstance(value, str):
        return value
    address = value if "://" in value else f"http://{value}"
    parts = urlsplit(address)
    host = "127.0.0.1" if parts.hostname in (None, "", "0.0.0.0") else parts.hostname  # noqa: S104
    shown = f"[{host}]" if ":" in str(host) else host
    standard = 443 if parts.scheme == "https" else OLLAMA_PORT
    return f"{parts.scheme}://{shown}:{parts.port or standard}{parts.path}"


def fallback(value: object) -> object:
    if not isinstance(value, str):
        return value
    entries = tuple(entry.strip() for entry in value.split(",") if entry.strip())
    known = {
        "stt": ("openai", "local", "azure"),
        "llm": ("openai", "local"),
        "tts": ("openai", "elevenlabs", "azure", "local"),
    }
    for entry in entries:
        part, _, kind = entry.rpartition("=")
        if entry != "local" and kind not in known.get(part, ()):
            raise ValueError("must be local, or like stt=local,llm=openai,tts=azure")
    return entries


def names(*known: str) -> Callable[[object], object]:
    """Read names with commas between, each one of `known`."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        found = tuple(name.strip().lower() for name in value.split(",") if name.strip())
        if set(found) - set(known):
            raise ValueError(f"must be names with commas between, of {', '.join(known)}")
        return tuple(dict.fromkeys(found))

    return read


def aliases(value: object) -> object:
    """Read pairs like phi4=gpt-4.1-mini, with commas between."""
    if not isinstance(value, str):
        return value
    pairs = [entry.partition("=") for entry in value.split(",") if entry.strip()]
    if not all(name.strip() and model.strip() for name, _, model in pairs):
        raise ValueError("must be like phi4=gpt-4.1-mini,gpt-4=gpt-4.1, with commas between")
    return {name.strip(): model.strip() for name, _, model in pairs}


OLLAMA_PORT = 11434
DOORS = ("openai", "browser", "sessions", "socketio", "services", "livekit")
OPEN_DOORS = ("sessions", "socketio", "services")
"""Doors whose original clients showed no token."""
LogLevel = Literal["debug", "info", "warning", "error"]
HttpUrl = Annotated[str, AfterValidator(url("https", "http"))]
Key = Annotated[SecretStr, AfterValidator(key)]
ProxyAddress = Annotated[SecretStr, AfterValidator(proxy)]


class Settings(BaseSettings):
    """Every name of the environment, in lower case; the defaults are those of `relay serve`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        str_strip_whitespace=True,
    )

    host: Annotated[str, BeforeValidator(address)] = Field(
        default="0.0.0.0",  # noqa: S104 - a server listens to others
        description="Address of both listeners, :: for IPv6 and IPv4; in dev 127.0.0.1",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="Port of the voice listener")
    http_port: int = Field(
        default_factory=lambda data: data["port"] + 1 if data["port"] else 0,
        ge=0,
        le=65535,
        description="Port of the HTTP listener, health and metrics; PORT + 1 when unset",
        json_schema_extra={"shown": "8081"},
    )
    public_url: HttpUrl | None = Field(
        default=None, description="The relay's address as users see it"
    )
    livekit_url: Annotated[str, AfterValidator(url("wss", "ws", "https", "http"))] | None = Field(
        default=None, description="LiveKit door: the server, like wss://PROJECT.livekit.cloud"
    )
    livekit_api_key: Key | None = Field(
        default=None, description="LiveKit door: a key of the project"
    )
    livekit_api_secret: Key | None = Field(
        default=None, description="LiveKit door: the secret of that key"
    )
    livekit_default_room_name: str = Field(
        default="amencast-translation-jobs",
        min_length=1,
        max_length=256,
        description="LiveKit door: the room that it joins",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(origins)] = Field(
        default=(),
        validation_alias=AliasChoices("allowed_origins", "cors_origin", "frontend_url"),
        description="Origins of pages that may connect, with commas; unset or *: any",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(networks)] = Field(
        default=LOOPBACK_NETWORKS,
        description="Addresses or networks of proxies that name a client's address; none: no proxy",
        json_schema_extra={"shown": ",".join(LOOPBACK_NETWORKS)},
    )
    relay_doors: Annotated[tuple[str, ...], NoDecode, BeforeValidator(names(*DOORS))] = Field(
        default=("openai", "browser"),
        description="Open doors, also sessions, socketio, services, livekit; dev: all but livekit",
        json_schema_extra={"shown": "openai,browser"},
    )
    relay_open_doors: Annotated[tuple[str, ...], NoDecode, BeforeValidator(names(*OPEN_DOORS))] = (
        Field(
            default=(),
            description="Doors that let callers in without a token: sessions, socketio, services",
        )
    )
    sessions_port: int | None = Field(
        default=None, ge=0, le=65535, description="A port of its own for the sessions door, as 8001"
    )
    socketio_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="A port of its own for the Socket.IO door, as 3001",
    )
    services_port: int | None = Field(
        default=None, ge=0, le=65535, description="A port of its own for the services door, as 8000"
    )
    max_concurrent_sessions: int = Field(
        default=4, ge=1, le=100_000, description="Sessions door: live sessions at most"
    )
    session_timeout_minutes: float = Field(
        default=30, gt=0, le=1440, description="Sessions door: minutes without use that end one"
    )
    sessions_legacy_fallback: bool = Field(
        default=False,
        description="Sessions door: a failed answer is a set text, with error: true, as it was",
    )
    audio_chunk_size: int = Field(
        default=1024,
        ge=2,
        le=1024 * 1024,
        description="Sessions door: bytes of sound in one message, before base64",
    )
    request_timeout: int = Field(
        default=30_000,
        ge=100,
        le=600_000,
        description="Socket.IO door: milliseconds until an answer must have begun",
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Live sessions at most, of callers who have shown a valid token",
    )
    max_sessions_per_user: int = Field(
        default=10,
        ge=0,
        le=100_000,
        description="Live sessions of one learner at most; 0: no limit",
    )
    max_connections_per_ip: int = Field(
        default=100,
        ge=0,
        le=100_000,
        description="Live sessions from one address at most; 0: no limit",
    )
    max_connects_per_minute: int = Field(
        default=120,
        ge=0,
        le=1_000_000,
        description="Sessions that one address may begin in a minute; 0: no limit",
    )
    connection_timeout: int = Field(
        default=1_800_000, ge=1, le=86_400_000, description="Longest session, in milliseconds"
    )
    idle_timeout: float = Field(
        default=300,
        gt=0,
        le=86_400,
        description="Seconds without speech or events that end a session",
    )
    engine_timeout: float = Field(
        default=10, gt=0, le=120, description="Seconds a voice may take to open"
    )
    drain_timeout: float = Field(
        default=60, ge=0, le=3600, description="Seconds that sessions get to end after SIGTERM"
    )
    max_message_bytes: int = Field(
        default=10 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Largest message of a client",
    )
    default_agent: str = Field(
        default="default",
        max_length=128,
        description="Agent of callers who name none and whose token names none",
    )
    relay_agents: Path | None = Field(
        default=None,
        description="File of agents, docs/agents.md; unset: the Supabase store's, else any id",
    )
    relay_prices: Path | None = Field(
        default=None, description="File of prices that override the built-in ones, docs/agents.md"
    )
    relay_engine: Literal["openai", "cascade", "offline", "echo"] = Field(
        default="openai",
        description="The voice: openai, cascade, offline or echo; dev has offline without a key",
    )
    openai_api_key: Key | None = Field(
        default=None,
        description="OpenAI's key, unless the project's vault has one; it never leaves the server",
    )
    openai_base_url: Annotated[str, AfterValidator(url("https", "http", "wss", "ws"))] = Field(
        default="https://api.openai.com/v1",
        description="Base URL of /realtime, OpenAI's or your own",
    )
    openai_realtime_model: str = Field(
        default="gpt-realtime-2.1", min_length=1, description="Model where the client names none"
    )
    openai_transcription_model: str = Field(
        default="gpt-realtime-whisper",
        min_length=1,
        description="Model that transcribes what users say",
    )
    relay_summary_model: str | None = Field(
        default=None,
        min_length=1,
        description="Text model that writes summaries; unset: sentences are extracted without one",
    )
    relay_summary_url: HttpUrl = Field(
        default="https://api.openai.com/v1",
        description="Base URL of its /chat/completions, OpenAI's or your own",
    )
    relay_summary_key: Key | None = Field(
        default=None, description="Its key; unset: OPENAI_API_KEY, if it is for the same server"
    )
    azure_openai_endpoint: HttpUrl | None = Field(
        default=None,
        description="Azure's resource in OpenAI's place, like https://NAME.openai.azure.com",
    )
    azure_openai_api_key: Key | None = Field(
        default=None, description="That resource's key; it never leaves the server"
    )
    azure_openai_deployment: str | None = Field(
        default=None,
        min_length=1,
        description="The deployment of every call; unset: the one named like the model",
    )
    relay_stt: Literal["openai", "local", "azure"] | None = Field(
        default=None,
        description="Cascade: who transcribes, openai, local or azure; unset: openai with a key",
    )
    relay_llm: Literal["openai", "local"] | None = Field(
        default=None,
        description="Cascade: who answers, openai (any server like it) or local; unset: what is "
        "there",
    )
    relay_tts: Literal["openai", "elevenlabs", "azure", "local"] | None = Field(
        default=None,
        description="Cascade: who speaks, openai, elevenlabs, azure or local; unset: openai with a "
        "key",
    )
    relay_fallback: Annotated[tuple[str, ...], NoDecode, BeforeValidator(fallback)] = Field(
        default=(),
        description="Cascade: who takes over a turn whose part failed, like local or "
        "stt=local,tts=azure",
    )
    relay_device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where local models run: auto, cpu or cuda"
    )
    stt_model: str | None = Field(
        default=None,
        min_length=1,
        description="Model that transcribes; local: a Whisper folder or a name like small.en",
    )
    stt_language: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="Language of the users, like en or de-CH; unset: told by the model",
    )
    whisper_api_key: Key | None = Field(
        default=None, description="OpenAI's key for transcription alone; unset: OPENAI_API_KEY"
    )
    llm_base_url: HttpUrl | None = Field(
        default=None,
        description="Base URL of the text model's /chat/completions; unset: OLLAMA_HOST's or "
        "OPENAI_BASE_URL",
    )
    llm_model: str | None = Field(
        default=None,
        min_length=1,
        description="Text model; unset: gpt-4.1-mini at OpenAI, else the first; local: a .gguf",
    )
    llm_model_aliases: Annotated[Mapping[str, str], NoDecode, BeforeValidator(aliases)] = Field(
        default={},
        description="Services door: other names of models, like phi4=gpt-4.1-mini, with commas",
        json_schema_extra={"shown": ""},
    )
    llm_api_key: Key | None = Field(
        default=None, description="Key of LLM_BASE_URL; OPENAI_API_KEY goes to OPENAI_BASE_URL only"
    )
    ollama_host: Annotated[HttpUrl, BeforeValidator(ollama)] | None = Field(
        default=None, description="Address of an Ollama, as Ollama reads it, like 127.0.0.1:11434"
    )
    system_prompt: str | None = Field(
        default=None,
        min_length=1,
        description="Cascade: instructions where the agent has none",
    )
    tts_model: str | None = Field(
        default=None, min_length=1, description="Model that speaks, at OpenAI or ElevenLabs"
    )
    tts_voice: str | None = Field(
        default=None,
        min_length=1,
        description="Voice where the client names none of the provider's; local: a Piper voice",
    )
    elevenlabs_api_key: Key | None = Field(
        default=None, description="ElevenLabs' key, for RELAY_TTS=elevenlabs"
    )
    elevenlabs_voice_id: str | None = Field(
        default=None, min_length=1, description="ElevenLabs' voice"
    )
    azure_speech_key: Key | None = Field(
        default=None, description="Azure Speech's key, for RELAY_STT or RELAY_TTS=azure"
    )
    azure_speech_region: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]+$",
        description="Azure Speech's region, like westeurope",
    )
    embeddings_base_url: HttpUrl | None = Field(
        default=None,
        description="Base URL of /embeddings for knowledge bases; unset: words alone are searched",
    )
    embeddings_model: str = Field(
        default="text-embedding-3-small", min_length=1, description="Model of the embeddings"
    )
    supabase_url: HttpUrl | None = Field(
        default=None, description="The project; its key set verifies ES256 and RS256 tokens"
    )
    supabase_jwt_secret: Annotated[SecretStr, AfterValidator(shared_secret)] | None = Field(
        default=None, description="The project's legacy secret; verifies HS256 tokens"
    )
    supabase_jwks_url: HttpUrl | None = Field(
        default=None, description="Another address of the key set than SUPABASE_URL's own"
    )
    supabase_jwt_issuer: Annotated[str, AfterValidator(issuer)] | None = Field(
        default=None,
        max_length=1024,
        description="What tokens name as their issuer (iss), where it is not SUPABASE_URL/auth/v1",
    )
    supabase_service_role_key: Key | None = Field(
        default=None,
        description="The project's service key, for its tables, its vault and SUPABASE_AUTH_CHECK",
    )
    supabase_auth_check: Literal["user", "user-or-local"] | None = Field(
        default=None,
        description="user: ask Supabase whether the user still exists; "
        "user-or-local: unless it is down",
    )
    relay_token_secret: Annotated[SecretStr, AfterValidator(token_secret)] | None = Field(
        default=None,
        description="Signs client secrets; unset: a random one, kept in RELAY_DATA_DIR",
    )
    relay_store: Literal["sqlite", "supabase"] = Field(
        default="supabase",
        description="Store of transcripts: supabase, or sqlite in RELAY_DATA_DIR, dev's default",
    )
    relay_data_dir: Path = Field(
        default=Path("var"), description="Folder of the journal and of SQLite"
    )
    https_proxy: ProxyAddress | None = Field(
        default=None,
        description="HTTP proxy to https:// and wss://, like http://USER:SECRET@HOST:3128",
    )
    http_proxy: ProxyAddress | None = Field(
        default=None, description="HTTP proxy to http:// and ws://"
    )
    all_proxy: SecretStr | None = Field(
        default=None, description="HTTP proxy to both, where they have none of their own"
    )
    no_proxy: str = Field(
        default="",
        description="Hosts reached without one, with commas: names, networks, with :port, or *",
    )
    ssl_cert_file: Path | None = Field(
        default=None, description="File of root certificates that are trusted too (PEM)"
    )
    ssl_cert_dir: Path | None = Field(
        default=None, description="Folder of such files, named by their hashes"
    )
    log_level: Annotated[LogLevel, BeforeValidator(level)] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_dir: Path | None = Field(
        default=None, description="Folder of combined.log and error.log; unset: the console only"
    )


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as `.env.example` and the docs show it; `default` is "" if there is none."""

    name: str
    default: str
    help: str


def describe() -> tuple[Described, ...]:
    """Return every setting, in the order in which they are shown."""
    return tuple(_described(name) for name in Settings.model_fields)


def _described(name: str) -> Described:
    field = Settings.model_fields[name]
    extra = field.json_schema_extra
    default = extra["shown"] if isinstance(extra, dict) else field.default
    shown = "" if default in (None, ()) else f"{default}"
    return Described(name.upper(), shown, field.description or "")


def env_example() -> str:
    """Return the text of `.env.example`: every setting, commented out, with its default."""
    head = (
        "# The settings of the relay, with their defaults. Copy this file to .env (mode 600) and\n"
        "# remove the # from what you want to set. The environment wins over the file; an empty\n"
        "# value counts as unset. `relay dev` needs none of them.\n"
    )
    entries = (f"\n# {one.help}\n#{one.name}={one.default}\n" for one in describe())
    return head + "".join(entries)

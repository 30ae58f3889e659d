"""Loads and checks the settings of each command, with the agents and prices they name."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from relay.admission.descriptors import DescriptorShares
from relay.agents.agent import AgentCatalog, OpenCatalog, StaticCatalog
from relay.agents.config import InvalidAgents, load_agents
from relay.auth.tokens import JwtConfig, development_secret, kept_secret
from relay.config.parts import FIRST_LISTED, billed_models, missing_for_parts
from relay.config.settings import Settings
from relay.egress import NoProxy, Proxy, WayOut, read_proxy
from relay.interfaces import SupabaseCredentials
from relay.realtime.billing.pricing import Prices

MIN_SECRET = 32  # bytes: RFC 7518 §3.2 wants an HS256 key as long as its hash
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
KEY_FILE = "token-secret"  # in the data folder; has the key of client secrets
LOCAL_KEY = "local"  # the key sent to a Realtime server of one's own, which wants none

PROSE = {"system_prompt"}
"""Settings whose value may begin and end with anything."""

EVERYBODYS = {
    *("https_proxy", "http_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
}
"""Settings that other programs read too, some by names that are nearly the same."""

LEAST_LIKENESS_OF_OWN = 0.6
LEAST_LIKENESS = 0.87
"""Of a name and a setting's, from 0 to 1, from which on the setting was probably meant."""
SHORTEST_COMPARED = 8
"""Shorter names, such as HOSTS, are as likely somebody else's."""

UNIMPLEMENTED = ("workers", "redis_url")
"""Reserved settings that are not implemented yet: setting one is an error."""

DOORS_OF_DEV = ("openai", "browser", "sessions", "socketio", "services")
"""The LiveKit door needs a server."""

Given = Mapping[str, str]
"""Variables of the environment: names in lower case, values that are not empty."""


class SettingsError(Exception):
    """The relay cannot start with these settings; `problems` has each in one line, with advice."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything a server starts with.

    `pages` says whether to serve `web/`, `warnings` are for the log, `tool_secrets` are the values
    of the environment variables that the server tools of `agents` name. `shares` are the process's
    descriptors, None where they were not looked at and are taken to suffice.
    """

    settings: Settings
    pages: bool
    warnings: tuple[str, ...] = ()
    agents: AgentCatalog = field(default_factory=OpenCatalog)
    tool_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    prices: Prices = field(default_factory=Prices)
    shares: DescriptorShares | None = None


def serve_settings(**overrides: Any) -> Loaded:
    """Load what `relay serve` runs with; raises `SettingsError` with every problem found."""
    given = _environment()
    problems = [*unimplemented(given), *badly_copied(_raw_environment())]
    settings = _settings({}, overrides, problems)
    _refuse([*problems, *contradictions(settings), *missing_for_serve(settings)])
    warnings = (*misspelt(given), *warnings_about(settings))
    return _loaded(settings, pages=False, warnings=warnings)


def dev_settings(**overrides: Any) -> Loaded:
    """Load what `relay dev` and `relay token` run with; raises `SettingsError`.

    Without SUPABASE_JWT_SECRET tokens are signed with the development secret, which is made on
    first use and kept in RELAY_DATA_DIR.
    """
    settings = local_settings(**overrides)
    if settings.supabase_jwt_secret is None:
        try:
            secret = SecretStr(development_secret(settings.relay_data_dir))
        except OSError as error:
            raise SettingsError(
                f"RELAY_DATA_DIR={settings.relay_data_dir} cannot be used: {error.strerror}"
            ) from error
        settings = settings.model_copy(update={"supabase_jwt_secret": secret})
    warnings = (*misspelt(_environment()), *warnings_about(settings))
    return _loaded(settings, pages=True, warnings=warnings)


def local_settings(**overrides: Any) -> Settings:
    """Load the settings of local commands; writes no file, raises `SettingsError`.

    The defaults are dev's: loopback, SQLite, and the offline voice unless the key or the address of
    another one is set.
    """
    given = _environment()
    names = given.keys() | overrides.keys()
    defaults = {
        "host": "127.0.0.1",
        "relay_store": "sqlite",
        "relay_engine": "offline",
        "relay_doors": ",".join(DOORS_OF_DEV),
    }
    if "azure_openai_endpoint" in names:
        defaults |= {"relay_engine": "openai"}
    elif names & {"openai_api_key", "openai_base_url"}:
        defaults |= {"relay_engine": "openai", "openai_api_key": LOCAL_KEY}
    if names & {"relay_stt", "relay_tts"}:  # parts were chosen: the offline voice has its own
        defaults |= {"relay_engine": "cascade"}
    problems = [*unimplemented(given), *badly_copied(_raw_environment())]
    unset = {name: value for name, value in defaults.items() if name not in given}
    settings = _settings(unset, overrides, problems)
    _refuse([*problems, *contradictions(settings), *missing_for_store(settings)])
    return settings


def served_settings() -> Settings | None:
    """What `relay serve` stores with, None where it would lack its store.

    Mistakes in what a store has nothing to do with, such as the file of agents, do not count: a
    command must not take another store for them. Raises `SettingsError`.
    """
    problems: list[str] = []
    settings = _settings({}, {}, problems)
    return None if any(missing_for_store(settings)) else settings


def trust_of(settings: Settings) -> JwtConfig:
    """Return which tokens are accepted."""
    url, secret = settings.supabase_url, settings.supabase_jwt_secret
    service_key = settings.supabase_service_role_key
    own_keys = f"{url}/auth/v1/.well-known/jwks.json" if url else None
    return JwtConfig(
        secret=secret.get_secret_value() if secret else None,
        jwks_url=settings.supabase_jwks_url or own_keys,
        issuer=settings.supabase_jwt_issuer or (f"{url}/auth/v1" if url else None),
        auth_url=url if settings.supabase_auth_check else None,
        local_suffices=settings.supabase_auth_check == "user-or-local",
        api_key=service_key.get_secret_value() if service_key else "",
    )


def client_secret_key(settings: Settings) -> str:
    """Return the key that signs client secrets; raises `OSError` where it cannot be kept."""
    given = settings.relay_token_secret
    return given.get_secret_value() if given else kept_secret(settings.relay_data_dir, KEY_FILE)


def project_of(settings: Settings) -> SupabaseCredentials | None:
    """Return the Supabase project of the store, None for the SQLite store."""
    url, key = settings.supabase_url, settings.supabase_service_role_key
    if settings.relay_store != "supabase" or url is None or key is None:
        return None
    return SupabaseCredentials(url, key.get_secret_value())


def way_out_of(settings: Settings) -> WayOut:
    """Return how connections leave this machine."""
    both = _proxy(settings.all_proxy)
    return WayOut(
        secure=_proxy(settings.https_proxy) or both,
        plain=_proxy(settings.http_proxy) or both,
        direct=NoProxy(settings.no_proxy),
        roots_file=settings.ssl_cert_file,
        roots_folder=settings.ssl_cert_dir,
    )


def _proxy(value: SecretStr | None) -> Proxy | None:
    try:
        return read_proxy(value.get_secret_value()) if value is not None else None
    except ValueError:  # of ALL_PROXY, which is often SOCKS: `warnings_about` tells
        return None


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Return every secret in the settings, for the log to mask."""
    values = (getattr(settings, name) for name in Settings.model_fields)
    return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def _loaded(settings: Settings, *, pages: bool, warnings: tuple[str, ...]) -> Loaded:
    try:
        found = load_agent_settings(settings, _environment())
        prices = load_prices(settings.relay_prices)
    except InvalidAgents as error:
        raise SettingsError(*error.problems) from None
    except InvalidPrices as error:
        raise SettingsError(str(error)) from None
    _refuse(list(budgets_without_price(settings, found.agents, prices)))
    warnings = (*warnings, *found.warnings)
    return Loaded(settings, pages, warnings, found.agents, found.secrets, prices)


def _environment() -> Given:
    values = {name: value.strip() for name, value in _raw_environment().items()}
    return {name: value for name, value in values.items() if value}


def _raw_environment() -> Given:
    try:
        found = {**DotEnvSettingsSource(Settings).env_vars, **EnvSettingsSource(Settings).env_vars}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read: {error}") from error
    return {name.lower(): value or "" for name, value in found.items()}


def _settings(
    defaults: Mapping[str, Any], overrides: Mapping[str, Any], problems: list[str]
) -> Settings:
    """Build the settings; an invalid value is reported together with `problems`."""
    try:
        return Settings(**{**defaults, **overrides})
    except ValidationError as error:
        raise SettingsError(*problems, *_invalid_values(error, problems)) from None


def _invalid_values(error: ValidationError, known: list[str]) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        name = str(detail["loc"][0]).upper()
        follows = detail["type"] == "default_factory_not_called"  # from another value's error
        if not follows and not any(problem.startswith(name) for problem in known):
            yield f"{name}: {detail['msg'].removeprefix('Value error, ')}"


def _refuse(problems: list[str]) -> None:
    if problems:
        raise SettingsError(*problems)


def unimplemented(given: Given) -> Iterator[str]:
    """Report each reserved setting that is not implemented yet."""
    for name in UNIMPLEMENTED:
        if name in given:
            yield f"{name.upper()} is not implemented yet: unset it"


def badly_copied(raw: Given) -> Iterator[str]:
    """Report each value with quotes around it, or space or a line's end before or after it."""
    for name in sorted(raw.keys() & Settings.model_fields.keys() - PROSE):
        value = raw[name]
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            yield f"{name.upper()} has quotation marks around its value: take them away"
        elif value.strip() and value != value.strip():
            yield f"{name.upper()} has a space or a line break around its value: take it away"


def misspelt(given: Given) -> Iterator[str]:
    """Report each RELAY_ name that is not a setting, and each other that is nearly one.

    It is never an error: what runs the relay may add names of its own (`RELAY_PORT`).
    """
    mine = Settings.model_fields.keys() - EVERYBODYS
    known = {name.replace("_", ""): name for name in mine}
    for name in sorted(given.keys() - Settings.model_fields.keys()):
        own = name.startswith("relay_")
        likeness = LEAST_LIKENESS_OF_OWN if own else LEAST_LIKENESS
        close = difflib.get_close_matches(name.replace("_", ""), known, n=1, cutoff=likeness)
        if own or (close and len(name) >= SHORTEST_COMPARED):
            hint = f": did you mean {known[close[0]].upper()}?" if close else ""
            yield f"{name.upper()} is not a setting of the relay{hint}"


def contradictions(settings: Settings) -> Iterator[str]:
    """Report settings that contradict each other, for any command."""
    if settings.port == settings.http_port != 0:
        yield f"PORT and HTTP_PORT are both {settings.port}: give HTTP_PORT another one"
    needed = {
        "SUPABASE_URL": settings.supabase_url,
        "SUPABASE_SERVICE_ROLE_KEY": settings.supabase_service_role_key,
    }
    missing = " and ".join(name for name, value in needed.items() if value is None)
    if settings.supabase_auth_check is not None and missing:
        value = settings.supabase_auth_check
        yield f"SUPABASE_AUTH_CHECK={value} needs {missing}: set them, or unset it"
    token_secret, users = settings.relay_token_secret, settings.supabase_jwt_secret
    if token_secret is not None and token_secret == users:
        yield "RELAY_TOKEN_SECRET is SUPABASE_JWT_SECRET: give it a secret of its own, or unset it"
    yield from _provider_conflicts(settings)
    yield from missing_for_parts(settings)
    yield from _door_conflicts(settings)


def _door_conflicts(settings: Settings) -> Iterator[str]:
    """Report what open doors lack, and open doors that are not there."""
    if not settings.relay_doors:
        yield "RELAY_DOORS names no door: name one, or unset it"
    if "livekit" in settings.relay_doors:
        needed = ("livekit_url", "livekit_api_key", "livekit_api_secret")
        missing = [name.upper() for name in needed if getattr(settings, name) is None]
        if missing:
            yield f"the LiveKit door needs {' and '.join(missing)}: set them"
    for name in settings.relay_open_doors:
        if name not in settings.relay_doors:
            yield f"RELAY_OPEN_DOORS names {name}, which RELAY_DOORS does not: add it there"
    yield from _port_conflicts(settings)


def _port_conflicts(settings: Settings) -> Iterator[str]:
    ports = {"PORT": settings.port, "HTTP_PORT": settings.http_port}
    for name in ("sessions_port", "socketio_port", "services_port"):
        port = getattr(settings, name)
        twin = next((other for other, taken in ports.items() if port and taken == port), None)
        if twin is not None:
            yield f"{name.upper()} and {twin} are both {port}: give one of them another"
        if port is not None:
            ports[name.upper()] = port


def _provider_conflicts(settings: Settings) -> Iterator[str]:
    """Report an incomplete Azure configuration, and Azure and OpenAI at once."""
    key, endpoint = settings.azure_openai_api_key, settings.azure_openai_endpoint
    azure = {
        "AZURE_OPENAI_ENDPOINT": endpoint,
        "AZURE_OPENAI_API_KEY": key,
        "AZURE_OPENAI_DEPLOYMENT": settings.azure_openai_deployment,
    }
    given = [name for name, value in azure.items() if value is not None]
    for name in ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"):
        if given and azure[name] is None:
            yield f"{' and '.join(given)} without {name}: set it too, or unset the rest"
    if key is not None and settings.openai_api_key is not None:
        yield "OPENAI_API_KEY and AZURE_OPENAI_API_KEY are both set: unset one of them"
    if endpoint is not None and "openai_base_url" in settings.model_fields_set:
        yield "OPENAI_BASE_URL and AZURE_OPENAI_ENDPOINT are both set: unset one of them"


def missing_for_serve(settings: Settings) -> Iterator[str]:
    """Report what `relay serve` needs and is not set (S3-59)."""
    keys = (settings.supabase_url, settings.supabase_jwt_secret, settings.supabase_jwks_url)
    if not any(keys):
        yield (
            "tokens cannot be verified: set one of"
            " SUPABASE_URL, SUPABASE_JWT_SECRET and SUPABASE_JWKS_URL"
        )
    yield from missing_for_store(settings)


def missing_for_store(settings: Settings) -> Iterator[str]:
    """Report what the store needs and is not set, for any command."""
    project = (settings.supabase_url, settings.supabase_service_role_key)
    if settings.relay_store == "supabase" and None in project:
        yield (
            "RELAY_STORE=supabase, the default, needs SUPABASE_URL and"
            " SUPABASE_SERVICE_ROLE_KEY: set both, or RELAY_STORE=sqlite to store transcripts here"
        )


def warnings_about(settings: Settings) -> Iterator[str]:
    """Report settings the relay can start with, but that are probably wrong."""
    azure = settings.azure_openai_endpoint is not None
    hosted = settings.relay_store == "supabase"  # its vault may have the key
    key = settings.openai_api_key
    if settings.relay_engine == "openai" and not azure and key is None and not hosted:
        yield "OPENAI_API_KEY is not set: sessions will end with 1011"
    if azure and "openai_transcription_model" not in settings.model_fields_set:
        yield (
            "OPENAI_TRANSCRIPTION_MODEL is not set, and on Azure it is the name of a deployment:"
            f" without one called {settings.openai_transcription_model} users are not transcribed"
        )
    secret = settings.supabase_jwt_secret
    if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET:
        yield f"SUPABASE_JWT_SECRET is shorter than {MIN_SECRET} bytes and could be guessed"
    for name in ("supabase_url", "supabase_jwks_url"):
        parts = urlsplit(getattr(settings, name) or "")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            yield f"{name.upper()} is not https: anyone on the network path can forge tokens"
    yield from _way_out_warnings(settings)


def _way_out_warnings(settings: Settings) -> Iterator[str]:
    if settings.all_proxy is not None and _proxy(settings.all_proxy) is None:
        yield "ALL_PROXY is no HTTP proxy, and no other kind is used: connections go out directly"
    file, folder = settings.ssl_cert_file, settings.ssl_cert_dir
    if file is not None and not file.is_file():
        yield f"SSL_CERT_FILE={file} is no file: no more certificates are trusted for it"
    if folder is not None and not folder.is_dir():
        yield f"SSL_CERT_DIR={folder} is no folder: no more certificates are trusted for it"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The agents, the secrets of their tools by environment variable, and warnings."""

    agents: AgentCatalog = field(default_factory=OpenCatalog)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


def load_agent_settings(settings: Settings, given: Given) -> AgentSettings:
    """Load the agents RELAY_AGENTS names; raises `InvalidAgents` with each mistake in one line."""
    path = settings.relay_agents
    if path is None:
        return AgentSettings()
    agents = load_agents(path)
    secrets = {name: given.get(name.lower(), "") for _, name in _secret_names(agents)}
    problems = list(_unusable_secrets(path, agents, secrets))
    if problems:
        raise InvalidAgents(*problems)
    return AgentSettings(agents, secrets, tuple(_agent_warnings(settings, path, agents)))


def _secret_names(agents: StaticCatalog) -> Iterator[tuple[str, str]]:
    """Each key that names an environment variable, and the variable."""
    for agent_id, agent in agents.all.items():
        for tool in agent.offer.server_tools:
            if tool.secret_env is not None:
                yield f"agent {agent_id!r}: server_tools.{tool.name}.secret_env", tool.secret_env


def _unusable_secrets(
    path: Path, agents: StaticCatalog, secrets: Mapping[str, str]
) -> Iterator[str]:
    for key, name in _secret_names(agents):
        if name.lower() in Settings.model_fields:  # the relay's own keys go to no tool
            yield f"{path}: {key}: {name} is a setting of the relay: name a variable of its own"
        elif not secrets[name]:
            yield f"{path}: {key}: {name} is not set in the environment"


def _agent_warnings(settings: Settings, path: Path, agents: StaticCatalog) -> Iterator[str]:
    if settings.default_agent not in agents.all:
        named = f"DEFAULT_AGENT={settings.default_agent}"
        yield f"{named} is not an agent of {path}: callers who name none are refused"


class InvalidPrices(Exception):  # noqa: N818 - a mistake in a file, reported to its author
    """The file of prices is invalid; the text says why in one line."""


def load_prices(path: Path | None) -> Prices:
    """Return the built-in prices, overridden by the file's rows; raises `InvalidPrices`."""
    if path is None:
        return Prices()
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidPrices(f"RELAY_PRICES={path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidPrices(f"{path}: not TOML: {error}") from None
    for model, row in rows.items():
        if not isinstance(row, Mapping):
            raise InvalidPrices(f"{path}: {model}: write a table, as in [{model!r}]")
    try:
        return Prices(rows)
    except ValueError as error:
        raise InvalidPrices(f"{path}: {error}") from None


def budgets_without_price(
    settings: Settings, agents: AgentCatalog, prices: Prices
) -> Iterator[str]:
    """Report each agent with a budget, one of whose models has no price."""
    if not isinstance(agents, StaticCatalog):
        return
    for agent_id, agent in agents.all.items():
        for name in _billed(settings, agent.offer.model):
            if agent.offer.bounds.is_budgeted and prices.find(name) is None:
                model = "the text model (set LLM_MODEL)" if name == FIRST_LISTED else name
                yield f"agent {agent_id!r} has a budget, but {model} has no price: see RELAY_PRICES"


def _billed(settings: Settings, model: str | None) -> Sequence[str]:
    """The models that calls of an agent with this model may cost money for."""
    match settings.relay_engine:
        case "openai":
            return model or settings.openai_realtime_model, settings.openai_transcription_model
        case "cascade" | "offline":
            return sorted(billed_models(settings))
        case _:
            return ()

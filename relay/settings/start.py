"""The settings that each command starts with, or the reasons why it cannot."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from relay.agents.agent import Agents, AnyAgent
from relay.agents.config import BadAgents
from relay.auth.tokens import Trust, development_secret
from relay.interfaces import ProjectAccess
from relay.realtime.billing.pricing import Prices
from relay.settings.agents import configured
from relay.settings.checks import (
    Given,
    contradictions,
    doubts,
    misspelt,
    not_built,
    not_servable,
    storeless,
)
from relay.settings.names import Settings
from relay.settings.prices import BadPrices, priced, unpriced

LOCAL_KEY = "local"  # shown to a Realtime server of one's own, which wants no key


class SettingsError(Exception):
    """Settings that one cannot start with; `problems` says each in one line, with what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a server starts with.

    `pages` serves `web/` too, `warnings` are for the log, `tool_secrets` are those that the server
    tools of `agents` name, by environment variable.
    """

    settings: Settings
    pages: bool
    warnings: tuple[str, ...] = ()
    agents: Agents = field(default_factory=AnyAgent)
    tool_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    prices: Prices = field(default_factory=Prices)


def serve_settings(**overrides: Any) -> Loaded:
    """Read what `relay serve` runs with; raises `SettingsError` with every problem found."""
    given = _environment()
    problems = [*not_built(given), *misspelt(given)]
    settings = _settings({}, overrides, problems)
    _refuse([*problems, *contradictions(settings), *not_servable(settings)])
    return _loaded(settings, pages=False, warnings=tuple(doubts(settings)))


def dev_settings(**overrides: Any) -> Loaded:
    """Read what `relay dev` and `relay token` run with; raises `SettingsError`.

    Without SUPABASE_JWT_SECRET the development signing secret takes its place; it is made on first
    use and kept in RELAY_DATA_DIR.
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
    warnings = (*misspelt(_environment()), *doubts(settings))
    return _loaded(settings, pages=True, warnings=warnings)


def local_settings(**overrides: Any) -> Settings:
    """Read the settings of commands on one's own machine; touches no file, raises `SettingsError`.

    The defaults are dev's: loopback, SQLite, and the offline voice unless a key or the address of
    another voice is set.
    """
    given = _environment()
    names = given.keys() | overrides.keys()
    defaults = {"host": "127.0.0.1", "relay_store": "sqlite", "relay_engine": "offline"}
    if "azure_openai_endpoint" in names:
        defaults |= {"relay_engine": "openai"}
    elif names & {"openai_api_key", "openai_base_url"}:
        defaults |= {"relay_engine": "openai", "openai_api_key": LOCAL_KEY}
    problems = list(not_built(given))
    ours = {name: value for name, value in defaults.items() if name not in given}
    settings = _settings(ours, overrides, problems)
    _refuse([*problems, *contradictions(settings), *storeless(settings)])
    return settings


def trust_of(settings: Settings) -> Trust:
    """Say whose tokens are believed."""
    url, secret = settings.supabase_url, settings.supabase_jwt_secret
    service_key = settings.supabase_service_role_key
    own_keys = f"{url}/auth/v1/.well-known/jwks.json" if url else None
    return Trust(
        secret=secret.get_secret_value() if secret else None,
        jwks_url=settings.supabase_jwks_url or own_keys,
        issuer=f"{url}/auth/v1" if url else None,
        auth_url=url if settings.supabase_auth_check else None,
        api_key=service_key.get_secret_value() if service_key else "",
    )


def project_of(settings: Settings) -> ProjectAccess | None:
    """Say which Supabase project keeps the words, None where they stay here."""
    url, key = settings.supabase_url, settings.supabase_service_role_key
    if settings.relay_store != "supabase" or url is None or key is None:
        return None
    return ProjectAccess(url, key.get_secret_value())


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """List every secret in the settings, for the log to mask should one ever get there."""
    values = (getattr(settings, name) for name in Settings.model_fields)
    return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def _loaded(settings: Settings, *, pages: bool, warnings: tuple[str, ...]) -> Loaded:
    try:
        found = configured(settings, _environment())
        prices = priced(settings.relay_prices)
    except BadAgents as bad:
        raise SettingsError(*bad.problems) from None
    except BadPrices as bad:
        raise SettingsError(str(bad)) from None
    _refuse(list(unpriced(settings, found.agents, prices)))
    told = (*warnings, *found.warnings)
    return Loaded(settings, pages, told, found.agents, found.secrets, prices)


def _environment() -> Given:
    try:
        found = {**DotEnvSettingsSource(Settings).env_vars, **EnvSettingsSource(Settings).env_vars}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read: {error}") from error
    said = {name.lower(): (value or "").strip() for name, value in found.items()}
    return {name: value for name, value in said.items() if value}


def _settings(
    ours: Mapping[str, Any], overrides: Mapping[str, Any], problems: list[str]
) -> Settings:
    """Build the settings; where a value is wrong, all `problems` so far are told with it."""
    try:
        return Settings(**{**ours, **overrides})
    except ValidationError as error:
        raise SettingsError(*problems, *_told(error, problems)) from None


def _told(error: ValidationError, known: list[str]) -> Iterator[str]:
    for one in error.errors(include_url=False, include_input=False):
        name = str(one["loc"][0]).upper()
        follows = one["type"] == "default_factory_not_called"  # from another one's error
        if not follows and not any(problem.startswith(name) for problem in known):
            yield f"{name}: {one['msg'].removeprefix('Value error, ')}"


def _refuse(problems: list[str]) -> None:
    if problems:
        raise SettingsError(*problems)

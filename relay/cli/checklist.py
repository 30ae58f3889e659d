"""Which parts `relay check` looks at: made from the settings that a relay would start with."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from relay.app import make_engine, own_key
from relay.check.engine import SettingNames, check_engine
from relay.check.local import (
    bind_error,
    check_auth_server,
    check_development_secret,
    check_http_port,
    check_key_set,
    check_optional_key_set,
    check_own_journal,
    check_pages,
    check_secret,
    check_store,
    check_voice_port,
)
from relay.check.proxy import check_proxied_health, check_proxied_voice
from relay.check.runner import Check, CheckResult, State, fail, skip
from relay.check.supabase import (
    ProjectClient,
    check_access,
    check_api_cache,
    check_chat_tables,
    check_clock,
    check_default_agent,
    check_project,
    check_provider_key,
    check_relay_tables,
    check_schema,
    check_shared_secret,
    run_project_check,
)
from relay.config import (
    Settings,
    SettingsError,
    dev_settings,
    local_settings,
    project_of,
    serve_settings,
    trust_of,
)
from relay.engines.cascade.offline import available
from relay.http.server import WEB
from relay.storage import StoreBackend, open_store
from relay.tasks import unix_clock

# ---- Which parts of a Supabase project `relay check` looks at.

Look = Callable[[ProjectClient], Awaitable[CheckResult]]
NO_DEFAULT: Final = "DEFAULT_AGENT is not set: callers who name no agent are refused"


def project_parts(settings: Settings) -> Iterator[Check]:
    """The project where words end up, from its address to its agents; none without a project."""
    access = project_of(settings)
    if access is None:
        return
    hosted = ProjectClient(access)
    yield Check("project", partial(check_project, hosted))
    for name, look in _looks(settings):
        yield Check(f"project, {name}", partial(run_project_check, hosted, look))


def _looks(settings: Settings) -> Iterator[tuple[str, Look]]:
    trust = trust_of(settings)
    yield "clock", partial(check_clock, unix_clock())
    if trust.secret is not None:
        yield "token secret", partial(check_shared_secret, trust, unix_clock())
    yield "API cache", check_api_cache
    yield "chat tables", check_chat_tables
    yield "call tables", check_relay_tables
    yield "schema", check_schema
    yield "readers", check_access
    if settings.relay_engine == "openai" and settings.azure_openai_endpoint is None:
        yield "provider key", partial(check_provider_key, own_key(settings))
    if settings.relay_agents is None:
        yield "default agent", _agent(settings)


def _agent(settings: Settings) -> Look:
    if "default_agent" in settings.model_fields_set:
        return partial(check_default_agent, settings.default_agent)

    async def unset(_: ProjectClient) -> CheckResult:
        return skip(NO_DEFAULT)

    return unset


SETTINGS: Final = "settings"
STAND_IN: Final = "a long string in the place of a secret that only looking must not make"
OPENAI: Final = SettingNames("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_REALTIME_MODEL")
AZURE: Final = SettingNames(
    "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT"
)
KEY_SET_NAMES: Final = "see SUPABASE_URL or SUPABASE_JWKS_URL; SUPABASE_JWT_SECRET needs no keys"
SERVER_NAMES: Final = "see SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY"


@dataclass(frozen=True, slots=True)
class SetupReport:
    """The settings as the relay here would read them, None where none would start.

    `serves` says that they are `relay serve`'s.
    """

    settings: Settings | None
    serves: bool
    findings: tuple[CheckResult, ...]


def read_settings() -> SetupReport:
    """Read what `relay serve` would start with, else what `relay dev` would; makes no file.

    Where the settings speak of people elsewhere `relay serve` is meant, and its problems count:
    nothing else is looked at before they are mended, since it would be by the wrong settings.
    """
    try:
        loaded = serve_settings()
    except SettingsError as error:
        return _read_local(error.problems)
    return SetupReport(loaded.settings, True, (_well("relay serve", loaded.warnings),))


def _read_local(serve_problems: tuple[str, ...]) -> SetupReport:
    try:
        settings = local_settings()
        if settings.supabase_url or settings.supabase_jwks_url or settings.public_url:
            return SetupReport(None, True, tuple(_told("fail", serve_problems)))
        # With a secret at hand `dev_settings` makes no file.
        secret = {} if settings.supabase_jwt_secret else {"supabase_jwt_secret": STAND_IN}
        loaded = dev_settings(**secret)
    except SettingsError as error:
        return SetupReport(None, False, tuple(_told("fail", error.problems)))
    well = _well("relay dev", loaded.warnings)
    return SetupReport(settings, False, (well, *_told("skip", serve_problems, "settings, serve")))


def _well(command: str, doubted: tuple[str, ...]) -> CheckResult:
    return CheckResult("ok", f"`{command}` can start with them", "; ".join(doubted), SETTINGS)


def _told(state: State, problems: tuple[str, ...], part: str = SETTINGS) -> Iterator[CheckResult]:
    for problem in problems:
        yield CheckResult(state, problem, part=part)


def parts_of(reading: SetupReport) -> Iterator[Check]:
    """Every part that these settings lead to, in the order in which they matter."""
    settings = reading.settings
    if settings is None:
        return
    folder = settings.relay_data_dir
    yield from project_parts(settings)
    yield from _keys(settings)
    yield Check("voice", partial(_voice, settings))
    is_here = partial(_listens, settings)
    yield Check("journal", partial(check_own_journal, folder / "journal", is_here))
    if project_of(settings) is None:
        yield Check("store", partial(asyncio.to_thread, check_store, folder / "relay.db"))
    yield Check("voice port", partial(check_voice_port, settings.host, settings.port))
    yield Check("HTTP port", partial(check_http_port, settings.host, settings.http_port))
    yield Check("page", partial(_page, reading.serves))
    yield from _proxy(settings)


def _keys(settings: Settings) -> Iterator[Check]:
    trust = trust_of(settings)
    if trust.secret is not None:
        yield Check(
            "token secret", partial(check_secret, trust, unix_clock(), "SUPABASE_JWT_SECRET")
        )
    if trust.jwks_url is not None:
        look = check_key_set if trust.secret is None else check_optional_key_set
        yield Check("key set", partial(look, trust.jwks_url, KEY_SET_NAMES))
    if trust.auth_url is not None:
        asked = partial(check_auth_server, trust.auth_url, trust.api_key, SERVER_NAMES)
        yield Check("token server", asked)
    if trust.secret is None and trust.jwks_url is None:
        made = partial(asyncio.to_thread, check_development_secret, settings.relay_data_dir)
        yield Check("token secret", made)


def place_of(settings: Settings) -> AbstractAsyncContextManager[StoreBackend]:
    """Where words would end up, and perhaps the provider's key."""
    return open_store(settings.relay_data_dir, project_of(settings), own_key(settings))


async def _voice(settings: Settings) -> CheckResult:
    if settings.relay_engine == "offline" and (missing := available()) is not None:
        return fail("the echo answers instead of the demonstration voice", missing)
    async with contextlib.AsyncExitStack() as closing:
        place = await closing.enter_async_context(place_of(settings))
        voice = make_engine(settings, place.vault)
        closing.push_async_callback(voice.aclose)
        names = AZURE if settings.azure_openai_endpoint else OPENAI
        model = settings.openai_realtime_model
        return await check_engine(voice, model, settings.engine_timeout, names)


async def _listens(settings: Settings) -> bool:
    """Whether somebody has the ports of these settings; any free one says nothing."""
    ports = settings.port, settings.http_port
    return 0 in ports or any([await bind_error(settings.host, port) is not None for port in ports])


async def _page(serves: bool) -> CheckResult:
    if serves:
        return skip("in production the proxy serves web/")
    return await asyncio.to_thread(check_pages, WEB)


def _proxy(settings: Settings) -> Iterator[Check]:
    url = settings.public_url

    async def started() -> bool:
        return await bind_error(settings.host, settings.port) is not None

    if url is not None:
        yield Check("proxy, health", partial(check_proxied_health, url, started))
        yield Check("proxy, voice", partial(check_proxied_voice, url, started))
    else:
        yield Check("proxy", partial(_nothing, "PUBLIC_URL is not set"))


async def _nothing(why: str) -> CheckResult:
    return skip(why)

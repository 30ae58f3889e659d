"""`relay check`: checks every part that the settings use and says how to fix what fails."""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Final

from relay.app import make_engine, own_key
from relay.auth.tokens import FILE, JwtConfig, development_secret
from relay.check import local, runner, supabase, tokens
from relay.check.engine import (
    LiveCheckFailed,
    LiveCheckOptions,
    LiveReport,
    SettingNames,
    check_engine,
    run_live_check,
    spoken_question,
)
from relay.check.proxy import check_proxied_health, check_proxied_voice
from relay.check.runner import Check, CheckResult, CheckTimeouts, State, report_slow, run_checks
from relay.check.spoken_turn import SpokenTurnReport
from relay.cli.check_voice import is_cascade, part_checks, speak, spoken_here
from relay.cli.console import CliCommand, fail, plain, say
from relay.cli.stores import database_file
from relay.clock import MachineClock
from relay.config import (
    Settings,
    SettingsError,
    dev_settings,
    local_settings,
    project_of,
    serve_settings,
    trust_of,
    way_out_of,
)
from relay.config.parts import plan_parts
from relay.egress import use
from relay.http.pages import WEB
from relay.logs import configure
from relay.parts.simple import ToneSynthesizer
from relay.storage import open_store
from relay.voice import missing_voice

LIVE: Final = "live"
SPEAK: Final = "speak"
SETTINGS: Final = "settings"
PLACEHOLDER: Final = "stands in for the secret that a start would make and a check must not"
OPENAI: Final = SettingNames("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_REALTIME_MODEL")
AZURE: Final = SettingNames(
    "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT"
)
KEY_SET_NAMES: Final = "see SUPABASE_URL or SUPABASE_JWKS_URL; SUPABASE_JWT_SECRET needs no keys"
TOKEN_NAMES: Final = tokens.TokenNames(
    secret="SUPABASE_JWT_SECRET",  # noqa: S106 - the name of a setting
    service_key="SUPABASE_SERVICE_ROLE_KEY",
    keys="SUPABASE_URL and SUPABASE_JWKS_URL",
    issuer="SUPABASE_JWT_ISSUER",
)
DOOR_MODULES: Final = {
    "sessions": ("soundfile",),
    "socketio": ("socketio", "soundfile"),
    "services": ("soundfile", "pynvml"),
    "livekit": ("livekit", "soundfile"),
}
"""What the doors of older systems need beside the relay's own libraries."""
SERVER_NAMES: Final = "see SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY"
MAX_TOKEN_FILE: Final = 65_536
"""Characters that are read of a token's file; a token has up to 8,192."""
NO_DEFAULT: Final = "DEFAULT_AGENT is not set: callers who name no agent are refused"

ProjectLook = Callable[[supabase.ProjectClient], Awaitable[CheckResult]]


# ------------------------------------------------------------------------------------ the command


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--live",
        action="store_true",
        help="also take real turns with remote voices; costs some cents",
    )
    parser.add_argument(
        "--speak", action="store_true", help="also take one spoken turn, in real time"
    )
    parser.add_argument(
        "--token",
        metavar="FILE",
        help="also verify the token in this file, - for standard input, as a call's would be",
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def _run(given: argparse.Namespace) -> int:
    """Check every part; exit code 1 when one would not work."""
    given.token = _read_token(given.token)
    setup = read_setup()
    settings = setup.settings
    if settings is not None:
        use(way_out_of(settings))
    if given.live and settings is not None and not _is_billed(settings):
        fail("--live needs a voice to talk to: set OPENAI_API_KEY (or OPENAI_BASE_URL)")
    # Whatever the parts would log is in their results.
    with contextlib.closing(configure("error", console=False)):
        outcome = asyncio.run(_check(setup, given))
    if given.json:
        say(json.dumps(_as_json(outcome), ensure_ascii=False))
    else:
        for line in _measured_lines(outcome):
            say(line)
    return 0 if outcome.ok else 1


def _read_token(name: str | None) -> str:
    """The token in a file, or on standard input for `-`; "" without a name."""
    if name is None:
        return ""
    if name == "-":
        return sys.stdin.read(MAX_TOKEN_FILE).strip()
    try:
        with open(name, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - like `-`
            return file.read(MAX_TOKEN_FILE).strip()
    except OSError as error:
        fail(f"{name} cannot be read: {error.strerror}")


CHECK: Final = CliCommand(
    name="check",
    help="say what would work here and how to fix what would not",
    example="relay check --live",
    options=_options,
    run=_run,
)


def _is_billed(settings: Settings) -> bool:
    """Whether there is a voice, or a part of one, that a provider may charge for."""
    keyed = bool(settings.openai_api_key or settings.azure_openai_api_key)
    return keyed or (is_cascade(settings) and plan_parts(settings).remote)


@dataclass(slots=True)
class _Outcome:
    """All results, and the measures of `--live` and `--speak`."""

    results: list[CheckResult] = field(default_factory=list)
    live: LiveReport | None = None
    spoken: SpokenTurnReport | None = None

    @property
    def ok(self) -> bool:
        return all(result.state != "fail" for result in self.results)


async def _check(setup: "Setup", given: argparse.Namespace) -> _Outcome:
    outcome = _Outcome()
    async for result in _results(setup, given, outcome):
        outcome.results.append(result)
        if not given.json:
            say(str(result))
    return outcome


async def _results(
    setup: "Setup", given: argparse.Namespace, outcome: _Outcome
) -> AsyncIterator[CheckResult]:
    for result in setup.results:
        yield result
    timeouts = CheckTimeouts(_print_slow)
    async for result in run_checks(checks_for(setup, given.token or ""), timeouts):
        yield result
    settings = setup.settings
    if settings is None:
        return
    async for result in run_checks(await part_checks(settings, live=given.live), timeouts):
        yield result
    if given.live and not is_cascade(settings):
        with report_slow(LIVE, timeouts):
            yield await _live(settings, outcome)
    if given.speak:
        with report_slow(SPEAK, timeouts):
            yield await _speak(settings, outcome)


def _print_slow(part: str, seconds: float) -> None:
    print(f"     {part}: still waiting after {seconds:.0f} s", file=sys.stderr)  # noqa: T201


async def _live(settings: Settings, outcome: _Outcome) -> CheckResult:
    provider = make_engine(settings.model_copy(update={"relay_engine": "openai"}))
    options = LiveCheckOptions(
        model=settings.openai_realtime_model,
        transcription_model=settings.openai_transcription_model,
        question=await spoken_here() or await spoken_question(ToneSynthesizer()),
    )
    try:
        outcome.live = await run_live_check(provider, options)
    except LiveCheckFailed as failed:
        hint = "see OPENAI_API_KEY, OPENAI_REALTIME_MODEL and OPENAI_TRANSCRIPTION_MODEL"
        return CheckResult("fail", str(failed), hint, LIVE)
    finally:
        await provider.aclose()
    return CheckResult("ok", f"a voice turn and a text turn with {outcome.live.model}", part=LIVE)


async def _speak(settings: Settings, outcome: _Outcome) -> CheckResult:
    try:
        outcome.spoken = await speak(settings)
    except LiveCheckFailed as failed:
        return CheckResult("fail", str(failed), "see what the checks of the parts say", SPEAK)
    first = outcome.spoken.first_sound
    return CheckResult("ok", f"first sound {first:.2f} s after the last voiced one", part=SPEAK)


def _measured_lines(outcome: _Outcome) -> Iterator[str]:
    live, spoken = outcome.live, outcome.spoken
    tables = (_live_table(live) if live else {}, _spoken_table(spoken) if spoken else {})
    for name, text in (row for table in tables for row in table.items()):
        yield f"     {name + ':':16}{plain(text)}"


def _spoken_table(report: SpokenTurnReport) -> dict[str, str]:
    answered = report.answered
    marks = {
        "turn ended": report.turn_ended,
        "transcript": report.transcribed,
        **({"first words": answered} if answered is not None else {}),
        "first sound": report.first_sound,
    }
    worked = (f"{part} {seconds:.2f} s" for part, seconds in report.parts.items())
    return {
        "you": report.heard,
        "voice": f"{report.answer} ({report.audio_seconds:.1f} s)",
        **{mark: f"after {seconds:.2f} s" for mark, seconds in marks.items()},
        "of work": ", ".join(worked) or "not told by this engine",
    }


def _live_table(report: LiveReport) -> dict[str, str]:
    unknown = ", ".join(f"{kind} ({count})" for kind, count in sorted(report.unknown.items()))
    return {
        "connect": f"{report.connect_ms} ms until session.created",
        "first audio": f"{report.first_audio_ms} ms after the end of speech",
        "first text": f"{report.first_text_ms} ms after the question",
        "you": report.heard,
        "voice": f"{report.spoken} ({report.audio_seconds:.1f} s)",
        "text": report.written,
        "unknown events": unknown or "none",
        "cost": _cost(report),
    }


def _cost(report: LiveReport) -> str:
    if report.unpriced:
        return f"no price is known for {', '.join(report.unpriced)}"
    return f"{report.cost_usd:.4f} dollars at the prices of {report.priced_at}"


def _as_json(outcome: _Outcome) -> dict[str, Any]:
    measured = asdict(outcome.live) if outcome.live is not None else None
    spoken = asdict(outcome.spoken) if outcome.spoken is not None else None
    parts = [_part(one) for one in outcome.results]
    return {"ok": outcome.ok, "parts": parts, "live": measured, "speak": spoken}


def _part(result: CheckResult) -> dict[str, Any]:
    told = {
        "state": result.state,
        "what": result.what,
        "mend": result.hint,
        "part": result.part,
    }
    return told | ({"seconds": dict(result.seconds)} if result.seconds else {})


# ------------------------------------------------------------------ the settings and their checks


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings as a relay here would read them, None where none would start.

    `serves` is set where they are those of `relay serve`.
    """

    settings: Settings | None
    serves: bool
    results: tuple[CheckResult, ...]


def read_setup() -> Setup:
    """Read what `relay serve` would start with, else what `relay dev` would; creates no file.

    Settings that speak of people elsewhere are meant for `relay serve`. Its problems then count,
    and nothing else is checked before they are mended: it would be by the wrong settings.
    """
    try:
        loaded = serve_settings()
    except SettingsError as error:
        return _read_dev_setup(error.problems)
    return Setup(loaded.settings, True, (_can_start("relay serve", loaded.warnings),))


def _read_dev_setup(serve_problems: tuple[str, ...]) -> Setup:
    try:
        settings = local_settings()
        if settings.supabase_url or settings.supabase_jwks_url or settings.public_url:
            return Setup(None, True, tuple(_problems("fail", serve_problems)))
        # Given a secret, `dev_settings` creates no file for one.
        secret = {} if settings.supabase_jwt_secret else {"supabase_jwt_secret": PLACEHOLDER}
        loaded = dev_settings(**secret)
    except SettingsError as error:
        return Setup(None, False, tuple(_problems("fail", error.problems)))
    result = _can_start("relay dev", loaded.warnings)
    return Setup(settings, False, (result, *_problems("skip", serve_problems, "settings, serve")))


def _can_start(command: str, warnings: tuple[str, ...]) -> CheckResult:
    return CheckResult("ok", f"`{command}` can start with them", "; ".join(warnings), SETTINGS)


def _problems(
    state: State, problems: tuple[str, ...], part: str = SETTINGS
) -> Iterator[CheckResult]:
    for problem in problems:
        yield CheckResult(state, problem, part=part)


def checks_for(setup: Setup, token: str = "") -> Iterator[Check]:
    """The checks of every part that the settings lead to, the most important first.

    A `token` is verified as a call's would be.
    """
    settings = setup.settings
    if settings is None:
        return
    yield from project_checks(settings)
    yield from _token_checks(settings)
    if token:
        clock = MachineClock().unix
        look = partial(tokens.check_token, token, _trust(settings), clock, TOKEN_NAMES)
        yield Check("token", look)
    yield Check("voice", partial(_voice, settings))
    journal, runs_here = settings.relay_data_dir / "journal", partial(_runs_here, settings)
    yield Check("journal", partial(local.check_own_journal, journal, runs_here))
    if project_of(settings) is None:
        file = database_file(settings)
        yield Check("store", partial(asyncio.to_thread, local.check_store, file))
    yield Check("voice port", partial(local.check_voice_port, settings.host, settings.port))
    yield Check("HTTP port", partial(local.check_http_port, settings.host, settings.http_port))
    yield Check("page", partial(_page, setup.serves))
    yield from _door_checks(settings)
    yield from _proxy_checks(settings)


def _door_checks(settings: Settings) -> Iterator[Check]:
    """Each open door of an older system."""
    for name in settings.relay_doors:
        if name in DOOR_MODULES:
            extra = "livekit" if name == "livekit" else "doors"
            port = getattr(settings, f"{name}_port", None)
            look = partial(local.check_door, DOOR_MODULES[name], extra, settings.host, port)
            yield Check(f"{name} door", look)


def project_checks(settings: Settings) -> Iterator[Check]:
    """The checks of the Supabase project that stores the words; none without a project."""
    access = project_of(settings)
    if access is None:
        return
    client = supabase.ProjectClient(access)
    yield Check("project", partial(supabase.check_project, client))
    for name, look in _project_looks(settings):
        yield Check(f"project, {name}", partial(supabase.run_project_check, client, look))


def _project_looks(settings: Settings) -> Iterator[tuple[str, ProjectLook]]:
    trust = trust_of(settings)
    yield "clock", partial(supabase.check_clock, MachineClock().unix)
    if trust.secret is not None:
        yield "token secret", partial(supabase.check_shared_secret, trust, MachineClock().unix)
    yield "API cache", supabase.check_api_cache
    yield "chat tables", supabase.check_chat_tables
    yield "call tables", supabase.check_relay_tables
    yield "schema", supabase.check_schema
    yield "readers", supabase.check_access
    if settings.relay_engine == "openai" and settings.azure_openai_endpoint is None:
        yield "provider key", partial(supabase.check_provider_key, own_key(settings))
    if settings.relay_agents is None:
        yield "default agent", _default_agent(settings)


def _default_agent(settings: Settings) -> ProjectLook:
    if "default_agent" in settings.model_fields_set:
        return partial(supabase.check_default_agent, settings.default_agent)

    async def unset(_: supabase.ProjectClient) -> CheckResult:
        return runner.skip(NO_DEFAULT)

    return unset


def _token_checks(settings: Settings) -> Iterator[Check]:
    trust = trust_of(settings)
    if trust.secret is not None and (
        project_of(settings) is None or tokens.is_signed_with_secret(trust.api_key)
    ):  # else the project itself is asked about it
        look = partial(tokens.check_secret, trust.secret, trust.api_key, TOKEN_NAMES)
        yield Check("token secret", look)
    if trust.jwks_url is not None:
        key_set = local.check_key_set if trust.secret is None else local.check_optional_key_set
        yield Check("key set", partial(key_set, trust.jwks_url, KEY_SET_NAMES))
    if trust.auth_url is not None:
        server = partial(local.check_auth_server, trust.auth_url, trust.api_key, SERVER_NAMES)
        yield Check("token server", server)
    if trust.secret is None and trust.jwks_url is None:
        own = partial(asyncio.to_thread, local.check_development_secret, settings.relay_data_dir)
        yield Check("token secret", own)


def _trust(settings: Settings) -> JwtConfig:
    """Which tokens a relay here would accept, without making a development secret."""
    trust, folder = trust_of(settings), settings.relay_data_dir
    if trust.secret is None and trust.jwks_url is None and (folder / FILE).is_file():
        with contextlib.suppress(OSError):
            return replace(trust, secret=development_secret(folder))
    return trust


async def _voice(settings: Settings) -> CheckResult:
    if is_cascade(settings) and (missing := missing_voice()) is not None:
        return runner.fail("the echo answers instead of the voice of the settings", missing)
    async with contextlib.AsyncExitStack() as closing:
        stored = open_store(settings.relay_data_dir, project_of(settings), own_key(settings))
        vault = (await closing.enter_async_context(stored)).vault
        voice = make_engine(settings, vault)
        closing.push_async_callback(voice.aclose)
        names = AZURE if settings.azure_openai_endpoint else OPENAI
        model = settings.openai_realtime_model
        return await check_engine(voice, model, settings.engine_timeout, names)


async def _runs_here(settings: Settings) -> bool:
    """Whether a relay may hold the ports of these settings; port 0, any free one, says nothing."""
    ports = settings.port, settings.http_port
    return 0 in ports or any(
        [await local.bind_error(settings.host, port) is not None for port in ports]
    )


async def _page(serves: bool) -> CheckResult:
    if serves:
        return runner.skip("in production the proxy serves web/")
    return await asyncio.to_thread(local.check_pages, WEB)


def _proxy_checks(settings: Settings) -> Iterator[Check]:
    url = settings.public_url

    async def started() -> bool:
        return await local.bind_error(settings.host, settings.port) is not None

    async def unset() -> CheckResult:
        return runner.skip("PUBLIC_URL is not set")

    if url is not None:
        yield Check("proxy, health", partial(check_proxied_health, url, started))
        yield Check("proxy, voice", partial(check_proxied_voice, url, started))
    else:
        yield Check("proxy", unset)

"""The composition root: puts the parts together, runs them, and takes them apart in order."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import structlog

from relay.agents.agent import AgentDefaults
from relay.auth.tokens import Verifier, mint, open_verifier
from relay.config import Loaded, Settings, project_of, trust_of
from relay.doors.browser import BrowserDoor
from relay.doors.openai import OpenAIDoor
from relay.doors.tokens import select_subprotocol
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.cascade.offline import VoiceNotInstalled, offline_parts
from relay.engines.openai import FixedKey, KeySource, OpenAIEngine, OpenAIOptions, azure_options
from relay.feed.feed import FeedHistory
from relay.feed.hub import FeedHub
from relay.http.api.app import ApiServices
from relay.http.api.sessions import ConversationArchive
from relay.http.server import Health, HttpServer, HttpServices, Pages, serve
from relay.interfaces import Engine, Store
from relay.metrics import Metrics, measure_loop_lag
from relay.parts.interfaces import Parts
from relay.parts.simple import echo_parts
from relay.realtime.endings import SERVICE_RESTART
from relay.realtime.grant import Caller, Role
from relay.session.billing import BudgetService
from relay.session.directory import SessionDirectory
from relay.session.server import ServerContext, SessionDefaults, SessionServer
from relay.session.session import Services
from relay.storage import Storage, open_storage
from relay.stores.history import StoredHistory
from relay.stores.journal.journal import DiskJournal
from relay.summary.summarizer import ChatEndpoint, Summarizer, SummaryWriter
from relay.tasks import Clock, Tasks, unix_clock
from relay.tools.http_tool import http_session
from relay.tools.runner import ToolRegistry, tool_runners
from relay.websocket.closing import ConnectionOptions
from relay.websocket.server import Listener, ListenOptions, listen

# ---- Which engine, and which text model, the settings ask for.

log = structlog.get_logger(__name__)


def make_engine(settings: Settings, vault: KeySource | None = None) -> Engine:
    """The engine of RELAY_ENGINE; OpenAI's key is the vault's, where there is one."""
    if settings.relay_engine == "openai":
        return OpenAIEngine(_provider(settings, vault))
    parts = offline_or_echo() if settings.relay_engine == "offline" else echo_parts()
    return CascadeEngine(parts)


def own_key(settings: Settings) -> str:
    """The provider's key in the environment, "" where there is none."""
    return settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""


def summary_writer(settings: Settings, http: aiohttp.ClientSession) -> SummaryWriter | None:
    """The text model of RELAY_SUMMARY_MODEL; the provider's key goes to the provider alone."""
    if settings.relay_summary_model is None:
        return None
    url, own = settings.relay_summary_url, settings.relay_summary_key
    key = "" if own is None else own.get_secret_value()
    if own is None and urlsplit(url).netloc == urlsplit(settings.openai_base_url).netloc:
        key = own_key(settings)
    return SummaryWriter(http, ChatEndpoint(url, settings.relay_summary_model, key))


def _provider(settings: Settings, vault: KeySource | None) -> OpenAIOptions:
    """OpenAI, a server like it, or Azure's resource in its place."""
    endpoint, azure_key = settings.azure_openai_endpoint, settings.azure_openai_api_key
    if endpoint is not None and azure_key is not None:
        key, deployment = azure_key.get_secret_value(), settings.azure_openai_deployment
        return azure_options(endpoint, key, deployment, settings.engine_timeout)
    return OpenAIOptions(
        key=vault or FixedKey(own_key(settings)),
        base_url=settings.openai_base_url,
        timeout=settings.engine_timeout,
    )


def offline_or_echo() -> Parts:
    """The demonstration voice, or the echo where it is not installed."""
    try:
        return offline_parts()
    except VoiceNotInstalled as missing:
        log.warning("the echo answers instead of the offline voice", reason=str(missing))
        return echo_parts()


# ---- The coach's side put together: feeds told by the journal, and the API that shows them.

LAST_WORDS_SECONDS: Final = 1.0
"""At the end: how long the last words may take to the disk, and so to those who watch."""


@dataclass(frozen=True, slots=True)
class CoachServices:
    """Feeds of all sessions of this process. `clock` gives Unix seconds."""

    hub: FeedHub
    journal: DiskJournal
    store: Store
    clock: Callable[[], float]
    summariser: Summarizer

    def api(self, verifier: Verifier, service_key: str, origins: Collection[str]) -> ApiServices:
        """What the HTTP side shows; who holds the service key is an admin."""
        store, keep = self.store, self.journal.append
        archive = ConversationArchive(store.conversations, keep, self.summariser, self.clock)
        known = verifier.verify, store.learners, self.clock, archive
        return ApiServices(self.hub, *known, service_key, origins)

    async def aclose(self) -> None:
        """Show the last words and ends, then send away who still watches."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.journal.flush()
        self.hub.close()


def open_coach(
    journal: DiskJournal,
    store: Store,
    tasks: Tasks,
    clock: Callable[[], float],
    writer: SummaryWriter | None = None,
) -> CoachServices:
    """Feeds that run until `tasks` are closed; mind `aclose` before the listeners go.

    `writer` is the text model for summaries, None where there is none.
    """
    hub = FeedHub(FeedHistory(journal, store), clock)
    journal.subscribe(hub.on_commit)
    tasks.run(hub.run(), "feeds")
    return CoachServices(hub, journal, store, clock, Summarizer(writer, clock))


PAGE_TOKEN_SECONDS: Final = 3600
PAGE_USER: Final = "developer"
PAGE_COACH: Final = "coach"


@dataclass(slots=True)
class App:
    """A running relay."""

    settings: Settings
    engine: Engine
    listener: Listener
    http: HttpServer
    reception: SessionServer
    registry: SessionDirectory
    draining: bool = False

    @property
    def voice_url(self) -> str:
        """Where Realtime clients connect."""
        return f"ws://{_shown(self.settings.host)}:{self.listener.port}/v1/realtime"

    @property
    def page_url(self) -> str:
        """Where the voice page is, in development."""
        return f"http://{_shown(self.settings.host)}:{self.http.port}/"

    async def drain(self, seconds: float) -> None:
        """Take no more callers, let the others end, then end them with 1012."""
        self.draining = True
        self.listener.stop_accepting()
        await self.reception.drain(seconds)


@asynccontextmanager
async def running(loaded: Loaded, clock: Clock | None = None) -> AsyncIterator[App]:
    """A relay with both listeners open; taken apart in order at the end, whatever happened.

    Raises OSError for a port or folder that cannot be had, ToolMisconfigured for a server-side
    tool that could never run, and what the journal raises.
    """
    settings, clock = loaded.settings, clock or unix_clock()
    metrics, tasks = Metrics(), Tasks(_task_failed)
    registry = SessionDirectory(settings.max_connections, settings.max_sessions_per_user)
    app: App | None = None
    async with (
        open_storage(
            settings.relay_data_dir, tasks, project_of(settings), own_key(settings)
        ) as words,
        open_verifier(trust_of(settings), clock) as verifier,
        http_session() as client,
        AsyncExitStack() as closing,
    ):
        engine = make_engine(settings, words.backend.vault)
        tools = tool_runners(loaded.agents, ToolRegistry(client, loaded.tool_secrets))
        prices = loaded.prices if settings.relay_engine == "openai" else None
        shared = Services(engine, metrics, clock, verifier.verify, prices, tools)
        writer = summary_writer(settings, client)
        coach = open_coach(words.journal, words.store, tasks, clock, writer)
        reception = _reception(loaded, shared, verifier, words, registry, coach)
        _measure(metrics, registry, words)
        tasks.run(measure_loop_lag(metrics), "metrics.loop_lag")
        api = coach.api(verifier, trust_of(settings).api_key, settings.allowed_origins)
        side = _http_side(loaded, metrics, words, registry, lambda: app, api)
        # Closed in the opposite order: health answers to the last.
        http = await serve(side, settings.host, settings.http_port)
        closing.push_async_callback(http.aclose)
        closing.push_async_callback(coach.aclose)
        closing.push_async_callback(engine.aclose)
        listener = await listen(reception.receive, _listen_options(settings, reception))
        closing.push_async_callback(listener.aclose)
        closing.push_async_callback(reception.aclose)
        closing.callback(listener.stop_accepting)
        app = App(settings, engine, listener, http, reception, registry)
        yield app


def _reception(
    loaded: Loaded,
    shared: Services,
    verifier: Verifier,
    words: Storage,
    registry: SessionDirectory,
    coach: CoachServices,
) -> SessionServer:
    settings = loaded.settings
    transcription = {"model": settings.openai_transcription_model}
    # A file wins over the table.
    agents = (None if settings.relay_agents else words.backend.agents) or loaded.agents
    defaults = AgentDefaults(settings.default_agent, settings.openai_realtime_model, agents)
    doors = (
        OpenAIDoor(verifier, defaults, transcription),
        BrowserDoor(verifier, defaults, transcription),
    )
    rules = SessionDefaults(
        engine_seconds=settings.engine_timeout,
        session_seconds=settings.connection_timeout / 1000,
        idle_seconds=settings.idle_timeout,
        transcription=transcription,
    )
    past = StoredHistory(words.journal, words.store)
    purses = BudgetService(shared.prices, past.spent)
    hub, journal = coach.hub, words.journal
    show = hub.on_commit
    return SessionServer(
        ServerContext(doors, registry, shared, journal, past, purses, rules, hub.track, show)
    )


def _listen_options(settings: Settings, reception: SessionServer) -> ListenOptions:
    return ListenOptions(
        host=settings.host,
        port=settings.port,
        allowed_origins=settings.allowed_origins,
        select=select_subprotocol,
        farewell_frames=reception.last_words,
        connection=ConnectionOptions(max_message_bytes=settings.max_message_bytes),
    )


def _measure(metrics: Metrics, registry: SessionDirectory, words: Storage) -> None:
    metrics.sessions_active(lambda: registry.active)
    metrics.journal(
        depth=lambda: words.delivery.state.depth,
        oldest_seconds=lambda: words.delivery.state.lag_seconds,
        set_aside=lambda: words.delivery.state.set_aside,
    )
    metrics.journal_failures(
        retries=lambda: words.delivery.state.retries, lost=lambda: words.journal.state.lost
    )
    words.journal.latencies.observe = metrics.committed


def _http_side(
    loaded: Loaded,
    metrics: Metrics,
    words: Storage,
    registry: SessionDirectory,
    app: Callable[[], App | None],
    api: ApiServices,
) -> HttpServices:
    began = time.monotonic()

    def health() -> Health:
        uptime = time.monotonic() - began
        return Health(registry.active, registry.max_connections, uptime)

    def draining() -> str | None:
        here = app()
        return "the server is shutting down" if here is None or here.draining else None

    def config() -> Mapping[str, Any]:
        here = app()
        engine = here.engine.name if here is not None else ""
        url = here.voice_url if here is not None else ""
        return {"url": url, "token": page_token(loaded.settings), "engine": engine}

    def coach_config() -> Mapping[str, Any]:
        return {"token": page_token(loaded.settings, PAGE_COACH, "admin"), "user_id": PAGE_COACH}

    return HttpServices(
        health=health,
        metrics=metrics.render,
        ready={
            "drain": draining,
            "journal": lambda: words.journal.state.failing,
            "store": lambda: words.delivery.state.failing,
        },
        pages=Pages(config, coach_config=coach_config) if loaded.pages else None,
        api=api,
    )


def page_token(settings: Settings, sub: str = PAGE_USER, role: Role = "learner") -> str:
    """A token for whoever sits at this machine, signed with the development secret."""
    secret = settings.supabase_jwt_secret
    now = unix_clock()()
    caller = Caller(sub=sub, role=role, expires_at=now + PAGE_TOKEN_SECONDS)
    issuer = trust_of(settings).issuer
    return mint(caller, secret.get_secret_value() if secret else "", now, issuer)


def _shown(host: str) -> str:
    name = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - shown, not bound
    return f"[{name}]" if ":" in name else name


def _task_failed(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)


async def run(loaded: Loaded, drain_seconds: float, started: Callable[[App], None]) -> None:
    """Run until SIGTERM or SIGINT, then drain; a second signal ends the sessions at once."""
    stop = asyncio.Event()
    async with running(loaded) as app:

        def signalled() -> None:
            if stop.is_set():
                app.registry.end_all(SERVICE_RESTART)
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        started(app)
        await stop.wait()
        log.info("shutting down", sessions=app.registry.active)
        await app.drain(drain_seconds)

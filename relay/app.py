"""The composition root: builds services, listeners and the HTTP side, and shuts down in order."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final, assert_never
from urllib.parse import urlsplit

import aiohttp
import structlog

from relay.admission.addresses import AddressLimits
from relay.admission.descriptors import DescriptorShares
from relay.agents.agent import AgentDefaults
from relay.auth.client_secrets import ClientSecrets, SecretOrToken
from relay.auth.tokens import Verifier, mint, open_verifier, select_subprotocol
from relay.clock import MachineClock, report_steps
from relay.config import Loaded, Settings, client_secret_key, project_of, trust_of, way_out_of
from relay.egress import using
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.openai import FixedKey, KeySource, OpenAIEngine, OpenAIOptions, azure_options
from relay.engines.pending import PendingEngine, VoiceInstaller
from relay.feed.feed import FeedHistory
from relay.feed.hub import FeedHub
from relay.http.api.app import ApiServices
from relay.http.api.sessions import ConversationArchive
from relay.http.pages import Pages
from relay.http.server import Health, HttpServer, HttpServices, serve, serve_routes
from relay.interfaces import Engine, SessionDirectory, Store
from relay.knowledge.bases import KnowledgeBases
from relay.knowledge.embeddings import Embedder, HttpEmbedder
from relay.metrics import Metrics, measure_loop_lag
from relay.open_doors import Doors, DoorServices, MakeDoors, OneOffParts, open_doors
from relay.parts.measuring import PartObserver
from relay.parts.simple import echo_parts
from relay.proxies import TrustedProxies
from relay.realtime.deadlines import SessionLimits
from relay.realtime.endings import SERVICE_RESTART
from relay.realtime.grant import Caller, Role
from relay.realtime.http_addresses import refusal_at_voice
from relay.session.billing import BudgetService
from relay.session.directory import MemorySessionDirectory
from relay.session.provider_health import watch_provider
from relay.session.server import SessionServer
from relay.session.session import Services
from relay.storage import Storage, open_storage
from relay.stores.history import StoredHistory
from relay.stores.journal.journal import DiskJournal
from relay.summary.summarizer import ChatEndpoint, Summarizer, SummaryWriter
from relay.tasks import Tasks
from relay.tools.http_tool import http_session
from relay.tools.runner import ToolRegistry, tool_runners
from relay.voice import find_ollama, is_small, parts_or_echo
from relay.websocket.closing import ConnectionOptions
from relay.websocket.open_sockets import memory_has_room
from relay.websocket.rates import LEAST_BURST, RateLimits
from relay.websocket.server import Listener, ListenOptions, listen

LAST_WORDS_SECONDS: Final = 1.0
"""Seconds the last utterances may take, at shutdown, to disk and so to subscribers."""
STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that let calls end, and then end the relay."""
KNOWLEDGE_FILE: Final = "knowledge.db"
"""In RELAY_DATA_DIR: the documents of knowledge bases."""
PAGE_TOKEN_SECONDS: Final = 3600
PAGE_USER: Final = "developer"
PAGE_COACH: Final = "coach"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class App:
    """A running relay."""

    settings: Settings
    engine: Engine
    listener: Listener
    http: HttpServer
    server: SessionServer
    directory: SessionDirectory
    pages: Pages | None = None
    draining: bool = False

    @property
    def voice_url(self) -> str:
        """The address for Realtime clients."""
        return f"ws://{_shown(self.settings.host)}:{self.listener.port}/v1/realtime"

    @property
    def page_url(self) -> str:
        """The address of the HTTP listener, which in development is the voice page's."""
        return f"http://{_shown(self.settings.host)}:{self.http.port}/"

    def page_address(self, page: str = "") -> str:
        """A page's address with the code that lets a browser in; only where there are pages."""
        code = f"#code={self.pages.key.code}" if self.pages else ""
        return f"{self.page_url}{page}{code}"

    async def drain(self, seconds: float) -> None:
        """Admit no more clients; let sessions end for so many seconds, then end them with 1012."""
        self.draining = True
        self.listener.stop_accepting()
        await self.server.drain(seconds)


async def run(
    loaded: Loaded,
    drain_seconds: float,
    started: Callable[[App], None],
    installer: VoiceInstaller | None = None,
) -> None:
    """Run until one of `STOPS`, then drain; a second signal ends the sessions at once."""
    stop = asyncio.Event()
    async with running(loaded, installer=installer) as app:

        def signalled() -> None:
            if stop.is_set():
                app.directory.end_all(SERVICE_RESTART)
            stop.set()

        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, signalled)
        leave_out_of_collections()
        started(app)
        await stop.wait()
        log.info("shutting down", sessions=app.directory.active)
        await app.drain(drain_seconds)


def leave_out_of_collections() -> None:
    """Have collections of cycles pass over all that is there: it stays until the process ends.

    Modules and what else a start makes are 150,000 objects, and a full collection that looked at
    them held every call up for 50 ms.
    """
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def running(
    loaded: Loaded,
    clock: MachineClock | None = None,
    make_doors: MakeDoors = open_doors,
    installer: VoiceInstaller | None = None,
) -> AsyncIterator[App]:
    """Run a relay with its listeners open; it is shut down in order, whatever happened.

    With an `installer` the echo answers until that has brought the voice of this machine. Raises
    OSError for a port that cannot be had, ToolMisconfigured, DoorNotInstalled, what storage raises.
    """
    settings, clock = loaded.settings, clock or MachineClock()
    metrics, tasks = Metrics(), Tasks(_task_failed)
    app: App | None = None
    async with (
        using(way_out_of(settings)),
        _open_storage(settings, tasks) as storage,
        _open_verifier(settings, clock, metrics) as verifier,
        http_session() as client,
        AsyncExitStack() as closing,
    ):
        coach = open_coach(storage, tasks, clock, summary_writer(settings, client))
        engine = await _open_engine(settings, storage, metrics, installer)
        knowledge = _open_knowledge(settings, client)
        registry = ToolRegistry(client, loaded.tool_secrets, knowledge)
        services = _services(loaded, metrics, verifier, coach, engine, registry)
        given = _door_services(loaded, storage, verifier, services, coach, knowledge)
        doors = make_doors(given)
        server = SessionServer(doors.websocket, services, _session_limits(settings, engine))
        _measure(services, storage, tasks)
        api = _api(coach, services, settings, verifier)
        shown = _http_services(loaded, metrics, storage, services, lambda: app, api)
        # Closed in the opposite order: health answers to the last.
        http = await _open_http(closing, loaded, doors, server, shown)
        for service in (coach, engine, given):
            closing.push_async_callback(service.aclose)
        listener = await _open_doors(closing, loaded, doors, server)
        app = App(settings, engine, listener, http, server, services.directory, shown.pages)
        _bring_voice(engine, services, client, tasks)
        yield app


@asynccontextmanager
async def _open_verifier(
    settings: Settings, clock: MachineClock, metrics: Metrics
) -> AsyncIterator[SecretOrToken]:
    async with open_verifier(trust_of(settings), clock.unix, metrics.user_checked) as users:
        yield SecretOrToken(users, ClientSecrets(client_secret_key(settings), clock.unix))


def _api(
    coach: "CoachServices", services: Services, settings: Settings, verifier: SecretOrToken
) -> ApiServices:
    """What the API needs; it is only for users' own tokens."""
    api = coach.api(services, settings)
    return replace(api, verify=verifier.users.verify, client_secrets=verifier.secrets)


def _open_storage(settings: Settings, tasks: Tasks) -> AbstractAsyncContextManager[Storage]:
    key = own_key(settings)
    return open_storage(settings.relay_data_dir, tasks, project_of(settings), key)


async def _open_engine(
    settings: Settings, storage: Storage, metrics: Metrics, installer: VoiceInstaller | None
) -> Engine:
    """The engine of the settings, or the echo in its place while its voice is installed.

    An Ollama on this machine writes the answers where one is found.
    """
    ollama = await find_ollama(settings)

    def make() -> Engine:
        vault, count = storage.backend.vault, metrics.engine_unreachable
        return make_engine(settings, vault, metrics.parts, ollama, count)

    if installer is None:
        return make()
    return PendingEngine(CascadeEngine(echo_parts()), installer, lambda: _prepared(make()))


def _bring_voice(
    engine: Engine, services: Services, client: aiohttp.ClientSession, tasks: Tasks
) -> None:
    """Start what a first turn would wait for, the voice's installation, or its provider's watch."""
    _prepared(engine)
    if isinstance(engine, OpenAIEngine):
        probe = partial(engine.probe, client)
        tasks.run(
            watch_provider(services.health, probe, services.clock.monotonic), "provider.watch"
        )
    if isinstance(engine, PendingEngine):
        tasks.run(engine.arrive(), "voice.install")


def _prepared(engine: Engine) -> Engine:
    """The engine, with what a first turn would wait for started."""
    if isinstance(engine, CascadeEngine):
        engine.prepare()
    return engine


async def _open_http(
    closing: AsyncExitStack,
    loaded: Loaded,
    doors: Doors,
    server: SessionServer,
    shown: HttpServices,
) -> HttpServer:
    """Open the HTTP side, with the routes of the doors that have some."""
    settings, most = loaded.settings, _shares(loaded).http
    routes = [route for door in doors.http for route in door.routes(server.accept)]
    http = await serve(replace(shown, routes=routes), settings.host, settings.http_port, most)
    closing.push_async_callback(http.aclose)
    for door in doors.http:
        if door.name in doors.ports:
            own = [*door.routes(server.accept), *door.own_routes()]
            port = doors.ports[door.name]
            alone = await serve_routes(own, settings.host, port, most)
            closing.push_async_callback(alone.aclose)
            http.door_ports[door.name] = alone.port
    return http


async def _open_doors(
    closing: AsyncExitStack, loaded: Loaded, doors: Doors, server: SessionServer
) -> Listener:
    """Let clients in; `closing` ends their sessions before it closes the doors."""
    listener = await listen(server.receive, _listen_options(loaded, server))
    closing.push_async_callback(listener.aclose)
    workers = Tasks(_task_failed)
    closing.push_async_callback(workers.aclose)
    closing.push_async_callback(server.aclose)
    for door in doors.http:
        closing.push_async_callback(door.aclose)
    closing.callback(listener.stop_accepting)
    for worker in doors.workers:
        workers.run(worker.run(server.accept), "door.worker")
    return listener


@dataclass(frozen=True, slots=True)
class CoachServices:
    """What coaches use: feeds, the archive, summaries."""

    hub: FeedHub
    journal: DiskJournal
    store: Store
    clock: MachineClock
    summarizer: Summarizer

    def api(self, services: Services, settings: Settings) -> ApiServices:
        """What the API needs; a bearer of the service key is an admin."""
        store, record = self.store, self.journal.append
        archive = ConversationArchive(store.conversations, record, self.summarizer, self.clock.unix)
        return ApiServices(
            directory=services.directory,
            hub=self.hub,
            verify=services.verify,
            learners=store.learners,
            clock=self.clock,
            archive=archive,
            service_key=trust_of(settings).api_key,
            allowed_origins=settings.allowed_origins,
            refused=services.metrics.caller_refused,
            proxies=TrustedProxies(settings.trusted_proxies),
        )

    async def aclose(self) -> None:
        """Show the last utterances and endings, then close the subscriptions that are left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.journal.flush()
        self.hub.close()


def open_coach(
    storage: Storage,
    tasks: Tasks,
    clock: MachineClock,
    writer: SummaryWriter | None = None,
) -> CoachServices:
    """Feeds that run until `tasks` are closed; call `aclose` before the listeners are closed.

    `writer` is the text model for summaries, None where there is none.
    """
    journal, store = storage.journal, storage.store
    hub = FeedHub(FeedHistory(journal, store), clock)
    journal.subscribe(hub.on_commit)
    tasks.run(hub.run(), "feeds")
    return CoachServices(hub, journal, store, clock, Summarizer(writer, clock.unix))


def _services(
    loaded: Loaded,
    metrics: Metrics,
    verifier: Verifier,
    coach: CoachServices,
    engine: Engine,
    registry: ToolRegistry,
) -> Services:
    """What all sessions share; raises ToolMisconfigured."""
    settings, history = loaded.settings, StoredHistory(coach.journal, coach.store)
    directory = MemorySessionDirectory(
        _shares(loaded).sessions,
        settings.max_sessions_per_user,
        [coach.hub.track],
        has_room=memory_has_room,
    )
    addresses = AddressLimits(settings.max_connections_per_ip, settings.max_connects_per_minute)
    return Services(
        engine=engine,
        metrics=metrics,
        clock=coach.clock,
        verify=verifier.verify,
        directory=directory,
        journal=coach.journal,
        history=history,
        budgets=BudgetService(loaded.prices, history.spent, engine),
        transcription={"model": settings.openai_transcription_model},
        prices=loaded.prices,
        tools=tool_runners(loaded.agents, registry),
        addresses=addresses,
        show=coach.hub.on_commit,
    )


def _door_services(
    loaded: Loaded,
    storage: Storage,
    verifier: Verifier,
    services: Services,
    coach: CoachServices,
    knowledge: KnowledgeBases,
) -> DoorServices:
    """What doors are made of."""
    return DoorServices(
        loaded=loaded,
        verifier=verifier,
        defaults=_agent_defaults(loaded, storage),
        services=services,
        parts=OneOffParts(loaded.settings, services.engine),
        summarizer=coach.summarizer,
        learners=coach.store.learners,
        knowledge=knowledge,
    )


def _agent_defaults(loaded: Loaded, storage: Storage) -> AgentDefaults:
    settings = loaded.settings
    # A file wins over the table.
    agents = (None if settings.relay_agents else storage.backend.agents) or loaded.agents
    return AgentDefaults(settings.default_agent, settings.openai_realtime_model, agents)


def _session_limits(settings: Settings, engine: Engine) -> SessionLimits:
    seconds, most = settings.connection_timeout / 1000, engine.capabilities.max_session_seconds
    if most is not None and seconds > most:
        log.warning("the engine ends sessions before CONNECTION_TIMEOUT", seconds=most)
    return SessionLimits(
        engine_seconds=settings.engine_timeout,
        session_seconds=seconds,
        idle_seconds=settings.idle_timeout,
    )


def _shares(loaded: Loaded) -> DescriptorShares:
    return loaded.shares or DescriptorShares(loaded.settings.max_connections)


def _listen_options(loaded: Loaded, server: SessionServer) -> ListenOptions:
    settings = loaded.settings
    return ListenOptions(
        host=settings.host,
        port=settings.port,
        allowed_origins=settings.allowed_origins,
        trusted_proxies=TrustedProxies(settings.trusted_proxies),
        select=select_subprotocol,
        farewell_frames=server.farewell_frames,
        refuse_post=refusal_at_voice,
        newcomers=_shares(loaded).newcomers,
        connection=ConnectionOptions(
            max_message_bytes=settings.max_message_bytes,
            rate=RateLimits(burst=max(settings.max_message_bytes, LEAST_BURST)),
        ),
    )


def make_engine(
    settings: Settings,
    vault: KeySource | None = None,
    observer: PartObserver | None = None,
    ollama: str | None = None,
    unreachable: Callable[[str, str], None] = lambda *_: None,
) -> Engine:
    """The engine of RELAY_ENGINE; OpenAI's key comes from the vault, where there is one.

    `observer` measures the parts of a cascade, `ollama` is the address of one on this machine.
    `unreachable` counts failures to connect by kind and stage.
    """
    match settings.relay_engine:
        case "openai":
            return OpenAIEngine(replace(_provider(settings, vault), unreachable=unreachable))
        case "cascade" | "offline":
            return CascadeEngine(parts_or_echo(settings, ollama), observer=observer)
        case "echo":
            return CascadeEngine(echo_parts(), observer=observer)
        case unknown:
            assert_never(unknown)


def _provider(settings: Settings, vault: KeySource | None) -> OpenAIOptions:
    """OpenAI, a compatible server, or an Azure resource."""
    endpoint, azure_key = settings.azure_openai_endpoint, settings.azure_openai_api_key
    if endpoint is not None and azure_key is not None:
        key, deployment = azure_key.get_secret_value(), settings.azure_openai_deployment
        return azure_options(endpoint, key, deployment, settings.engine_timeout)
    return OpenAIOptions(
        key=vault or FixedKey(own_key(settings)),
        base_url=settings.openai_base_url,
        timeout=settings.engine_timeout,
    )


def own_key(settings: Settings) -> str:
    """The provider's key in the environment, "" where there is none."""
    return settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""


def summary_writer(settings: Settings, http: aiohttp.ClientSession) -> SummaryWriter | None:
    """The text model of RELAY_SUMMARY_MODEL; the provider's key is sent to the provider alone."""
    if settings.relay_summary_model is None:
        return None
    url, own = settings.relay_summary_url, settings.relay_summary_key
    key = "" if own is None else own.get_secret_value()
    if own is None and urlsplit(url).netloc == urlsplit(settings.openai_base_url).netloc:
        key = own_key(settings)
    return SummaryWriter(http, ChatEndpoint(url, settings.relay_summary_model, key))


def _open_knowledge(settings: Settings, http: aiohttp.ClientSession) -> KnowledgeBases:
    """The knowledge bases of this data folder; no file is made before the first document."""
    return KnowledgeBases(settings.relay_data_dir / KNOWLEDGE_FILE, _embedder(settings, http))


def _embedder(settings: Settings, http: aiohttp.ClientSession) -> Embedder | None:
    """The server that EMBEDDINGS_BASE_URL names; a key goes only where it belongs."""
    url, model = settings.embeddings_base_url, settings.embeddings_model
    if url is None:
        return None
    own = urlsplit(settings.openai_base_url).netloc == urlsplit(url).netloc
    llm = settings.llm_base_url and urlsplit(settings.llm_base_url).netloc == urlsplit(url).netloc
    given = settings.llm_api_key if llm else None
    key = given.get_secret_value() if given else own_key(settings) if own else ""
    return HttpEmbedder(http, url, model, key)


def _http_services(
    loaded: Loaded,
    metrics: Metrics,
    storage: Storage,
    services: Services,
    app: Callable[[], App | None],
    api: ApiServices,
) -> HttpServices:
    began, directory = time.monotonic(), services.directory

    def health() -> Health:
        uptime = time.monotonic() - began
        return Health(directory.active, directory.max_connections, uptime)

    def draining() -> str | None:
        here = app()
        return "the server is shutting down" if here is None or here.draining else None

    def config() -> Mapping[str, Any]:
        return _page_config(loaded.settings, app())

    def coach_config() -> Mapping[str, Any]:
        return {"token": page_token(loaded.settings, PAGE_COACH, "admin"), "user_id": PAGE_COACH}

    return HttpServices(
        health=health,
        metrics=metrics.render,
        ready={
            "drain": draining,
            "journal": lambda: storage.journal.state.failing,
            "store": lambda: storage.delivery.state.failing or storage.schema.reason,
            "provider": lambda: services.health.reason,
        },
        pages=Pages(config, coach_config=coach_config) if loaded.pages else None,
        api=api,
    )


def _page_config(settings: Settings, app: App | None) -> Mapping[str, Any]:
    """What the voice page reads; while the voice is installed, how far that is."""
    engine = app.engine.name if app is not None else ""
    url = app.voice_url if app is not None else ""
    shown: dict[str, Any] = {"url": url, "token": page_token(settings), "engine": engine}
    here = app.engine if app is not None else None
    if isinstance(here, PendingEngine):
        shown["voice"] = asdict(here.progress)
        here = here.current
    if isinstance(here, CascadeEngine) and here.name != "echo":
        shown |= {"languages": list(here.languages), "small": is_small(here.responder)}
    return shown


def page_token(settings: Settings, sub: str = PAGE_USER, role: Role = "learner") -> str:
    """A token for the pages in development, signed with the development secret."""
    secret = settings.supabase_jwt_secret
    now = MachineClock().unix()
    caller = Caller(sub=sub, role=role, expires_at=now + PAGE_TOKEN_SECONDS)
    issuer = trust_of(settings).issuer
    return mint(caller, secret.get_secret_value() if secret else "", now, issuer)


def _measure(services: Services, storage: Storage, tasks: Tasks) -> None:
    metrics, directory = services.metrics, services.directory
    tasks.run(measure_loop_lag(metrics), "metrics.loop_lag")
    tasks.run(report_steps(services.clock), "clock.steps")
    metrics.sessions_active(lambda: directory.active)
    metrics.journal(
        depth=lambda: storage.delivery.state.depth,
        oldest_seconds=lambda: storage.delivery.state.lag_seconds,
        set_aside=lambda: storage.delivery.state.set_aside,
    )
    metrics.journal_failures(
        retries=lambda: storage.delivery.state.retries, lost=lambda: storage.journal.state.lost
    )
    metrics.store_failures(lambda: storage.delivery.failures)
    storage.journal.latencies.observe = metrics.committed


def _shown(host: str) -> str:
    name = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - shown, not bound
    return f"[{name}]" if ":" in name else name


def _task_failed(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)

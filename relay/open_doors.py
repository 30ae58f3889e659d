"""Opens the doors that the settings name; those of the older systems are loaded only then."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit

import structlog

from relay.agents.agent import AgentDefaults
from relay.audio.decoding import AudioDecoder
from relay.auth.tokens import Verifier
from relay.calls.access import DoorAccess, Strangers, is_loopback
from relay.config import Loaded, Settings, trust_of
from relay.config.parts import llm_endpoint, plan_parts
from relay.doors.browser import BrowserDoor
from relay.doors.closed import ClosedDoor
from relay.doors.openai import OpenAIDoor
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.pending import PendingEngine
from relay.interfaces import Door, Engine, HttpDoor, WorkerDoor
from relay.knowledge.bases import KnowledgeBases
from relay.parts.interfaces import Parts, Resource
from relay.proxies import TrustedProxies
from relay.realtime.effects import ToolCall
from relay.realtime.grant import Grant
from relay.session.session import Services
from relay.summary.summarizer import Summarizer
from relay.voice import is_small, livekit_voice, one_off_parts

T = TypeVar("T")

log = structlog.get_logger(__name__)

RunTool = Callable[[ToolCall], Awaitable[str]]
HOW_TO_INSTALL: Final = "install it with `make run`, or with `pip install 'relay[{}]'`"


class DoorNotInstalled(ImportError):  # noqa: N818 - a state of the machine, not a fault
    """The libraries of a door are not on this machine; the text says what to do."""


class OneOffParts:
    """The parts for what is asked outside of a session: the engine's own, else made when asked."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._made: Parts | None = None
        self._more: list[Resource] = []

    def __call__(self) -> Parts:
        """The parts."""
        engine = self._engine
        here = engine.current if isinstance(engine, PendingEngine) else engine
        if isinstance(here, CascadeEngine):
            return here.parts
        if self._made is None:
            self._made = one_off_parts(self._settings)
        return self._made

    def release(self, part: Resource) -> None:
        """Release this one too, which a door has for itself."""
        self._more.append(part)

    async def aclose(self) -> None:
        """Release those that were made here; the engine releases its own."""
        for part in self._more:
            await part.aclose()
        if self._made is not None:
            await self._made.aclose()


@dataclass(frozen=True, slots=True)
class DoorServices:
    """The rest of the program, as doors are made of it.

    `parts` gives those with which one-off calls hear, think and speak. `decoder` is shared;
    `learners` gives the users whom a coach may follow.
    """

    loaded: Loaded
    verifier: Verifier
    defaults: AgentDefaults
    services: Services
    parts: OneOffParts
    summarizer: Summarizer
    learners: Callable[[str], Awaitable[frozenset[str]]]
    knowledge: KnowledgeBases
    decoder: AudioDecoder = field(default_factory=AudioDecoder)

    @property
    def proxies(self) -> TrustedProxies:
        """The proxies whose word on a client's address is believed."""
        return TrustedProxies(self.loaded.settings.trusted_proxies)

    async def aclose(self) -> None:
        """Release what is the doors' own, once they are closed."""
        await self.decoder.aclose()
        await self.parts.aclose()
        await self.knowledge.aclose()

    def access(self, door: str) -> DoorAccess:
        """Who may call at this door."""
        services = self.services
        return DoorAccess(
            door,
            self.verifier.verify,
            services.clock.unix,
            services.clock.monotonic,
            self._strangers(door),
            services.addresses,
            trust_of(self.loaded.settings).api_key,
            services.metrics.caller_refused,
        )

    def _strangers(self, door: str) -> Strangers:
        settings = self.loaded.settings
        if self.loaded.pages:  # in development, on whatever network that is
            return "local" if is_loopback(settings.host) else "refused"
        return "admitted" if door in settings.relay_open_doors else "refused"


@dataclass(frozen=True, slots=True)
class Doors:
    """The ways in; those of the WebSocket listener are asked in their order.

    `ports` are those that HTTP doors have of their own, by their names.
    """

    websocket: Sequence[Door] = ()
    http: Sequence[HttpDoor] = ()
    workers: Sequence[WorkerDoor] = ()
    ports: Mapping[str, int] = field(default_factory=dict)


MakeDoors = Callable[[DoorServices], Doors]


def open_doors(here: DoorServices) -> Doors:
    """The doors of RELAY_DOORS; raises `DoorNotInstalled`."""
    settings = here.loaded.settings
    transcription = here.services.transcription
    websocket: dict[str, Door] = {
        "openai": OpenAIDoor(here.verifier, here.defaults, transcription),
        "browser": BrowserDoor(here.verifier, here.defaults, transcription),
    }
    named: list[Door] = [door for name, door in websocket.items() if name in settings.relay_doors]
    ports = {name: getattr(settings, f"{name}_port", None) for name in settings.relay_doors}
    return Doors(
        websocket=[*named, ClosedDoor()],
        http=_all_of(_HTTP, here),
        workers=_all_of(_WORKERS, here),
        ports={name: port for name, port in ports.items() if port is not None},
    )


def _all_of(makers: Mapping[str, Callable[[DoorServices], T]], here: DoorServices) -> list[T]:
    """The doors that are to be open; in development those that are not installed are left out."""
    doors = []
    for name in here.loaded.settings.relay_doors:
        try:
            if name in makers:
                doors.append(_opened(name, makers[name], here))
        except DoorNotInstalled as missing:
            if not here.loaded.pages:
                raise
            log.warning("door left out", door=name, reason=str(missing))
    return doors


def _opened(name: str, make: Callable[[DoorServices], T], here: DoorServices) -> T:
    """The door; raises `DoorNotInstalled` where its libraries are missing."""
    try:
        return make(here)
    except DoorNotInstalled:
        raise
    except ImportError as error:
        extra = "livekit" if name == "livekit" else "doors"
        raise DoorNotInstalled(
            f"the {name} door is not installed ({error}); {HOW_TO_INSTALL.format(extra)}"
        ) from error


def _sessions(here: DoorServices) -> HttpDoor:
    from relay.doors.sessions import (  # noqa: PLC0415 - only where it is open
        SessionsDoor,
        SessionsOptions,
        SessionsServices,
    )

    settings, services = here.loaded.settings, here.services
    options = SessionsOptions(
        max_sessions=settings.max_concurrent_sessions,
        idle_seconds=settings.session_timeout_minutes * 60,
        legacy_fallback=settings.sessions_legacy_fallback,
        chunk_size=settings.audio_chunk_size,
        public_url=settings.public_url,
        allowed_origins=settings.allowed_origins,
    )
    return SessionsDoor(
        options,
        SessionsServices(
            access=here.access("sessions"),
            defaults=here.defaults,
            transcription=services.transcription,
            directory=services.directory,
            decoder=here.decoder,
            transcriber=lambda: here.parts().transcriber,
            summarizer=here.summarizer,
            learners=here.learners,
            proxies=here.proxies,
        ),
    )


def _socketio(here: DoorServices) -> HttpDoor:
    from relay.doors.socketio import (  # noqa: PLC0415 - only where it is open
        SocketioDoor,
        SocketioOptions,
        SocketioServices,
    )

    settings = here.loaded.settings
    options = SocketioOptions(
        max_sockets=settings.max_connections,
        timeout=settings.request_timeout / 1000,
        allowed_origins=settings.allowed_origins,
    )
    return SocketioDoor(
        options,
        SocketioServices(
            access=here.access("socketio"),
            defaults=here.defaults,
            transcription=here.services.transcription,
            decoder=here.decoder,
            history=here.services.history,
            proxies=here.proxies,
        ),
    )


def _services(here: DoorServices) -> HttpDoor:
    from relay.doors import services as door  # noqa: PLC0415 - only where it is open

    settings, services = here.loaded.settings, here.services

    def make_tools(grant: Grant, call_id: str, conversation_id: str) -> RunTool | None:
        runner = services.tools(grant, call_id, conversation_id)
        return None if runner is None else runner.run

    per_minute = settings.max_connects_per_minute * door.CALLS_PER_CONNECT
    llm = llm_endpoint(settings) if plan_parts(settings).llm == "openai" else None
    options = door.ServicesOptions(
        llm_host=_host_of(llm.base_url) if llm else "",
        allowed_origins=settings.allowed_origins,
        page_files=door.installed_files(),
    )
    serving = door.Serving(
        callers=door.Callers(here.access("services"), here.proxies, here.defaults, per_minute),
        accounting=door.Accounting(
            *(services.budgets.open, services.prices, services.journal, services.metrics),
            services.clock.unix,
        ),
        backing=door.Backing(
            *(here.parts, here.decoder, here.knowledge, settings.llm_model_aliases)
        ),
        health=door.HealthWatch(door.probes_of(here.parts, here.knowledge)),
        observer=services.metrics.parts,
        make_tools=make_tools,
        unnamed_model=None if settings.llm_model else door.DEFAULT_MODEL,
    )
    return door.ServicesDoor(options, serving)


def _host_of(url: str) -> str:
    """A server's address without a login or a path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


_HTTP: Final[Mapping[str, Callable[[DoorServices], HttpDoor]]] = {
    "sessions": _sessions,
    "socketio": _socketio,
    "services": _services,
}


def _livekit(here: DoorServices) -> WorkerDoor:
    from livekit import api, rtc  # noqa: PLC0415 - only where it is open

    from relay.doors.livekit import (  # noqa: PLC0415
        LivekitDoor,
        LivekitOptions,
        LivekitServices,
    )
    from relay.doors.livekit.translating import Interpreter  # noqa: PLC0415

    settings, parts = here.loaded.settings, here.parts()
    if is_small(parts.make_responder().name):
        raise DoorNotInstalled(
            "the LiveKit door needs a text model that translates: set LLM_BASE_URL, or a key"
        )
    voice, spoken = livekit_voice(settings, parts.synthesizer)
    if voice is not parts.synthesizer:
        here.parts.release(voice)
    key, secret = settings.livekit_api_key, settings.livekit_api_secret
    options = LivekitOptions(
        url=settings.livekit_url or "",
        api_key=key.get_secret_value() if key else "",
        api_secret=secret.get_secret_value() if secret else "",
        room=settings.livekit_default_room_name,
    )
    return LivekitDoor(
        options,
        LivekitServices(
            interpreter=Interpreter(parts, voice, spoken),
            defaults=here.defaults,
            transcription=here.services.transcription,
            unix=here.services.clock.unix,
            rtc=rtc,
            api=api,
        ),
    )


_WORKERS: Final[Mapping[str, Callable[[DoorServices], WorkerDoor]]] = {"livekit": _livekit}

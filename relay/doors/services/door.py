"""The services door: its routes on the HTTP listener, and those of its old port alone."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, get_type_hints

import structlog
from aiohttp import web
from pydantic import BaseModel

from relay.audio.decoding import AudioDecoder
from relay.calls.http import CallRefused, DoorHttp, Route
from relay.cors import CorsPolicy
from relay.doors.services import calls, documents
from relay.doors.services.calls import OneCall
from relay.doors.services.failures import envelope, plain_error
from relay.doors.services.health import library_versions
from relay.doors.services.models import SpeakBody
from relay.doors.services.openapi import RouteDescription, document
from relay.doors.services.pages import FILES, page_routes
from relay.doors.services.serving import Serving, answer, read_as
from relay.doors.services.speech import speech_routes
from relay.doors.services.stream import ERROR, stream
from relay.interfaces import Accept
from relay.parts.interfaces import PartFailed
from relay.tasks import Tasks

TITLE: Final = "AI services"
VERSION: Final = "1.0.0"
"""Of these services' API, as their clients of old know it."""
METHODS: Final = ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")
FUNCTIONS: Final = ("/ai", "/functions/v1")
"""Where the two speech functions are: among the services, and where Supabase had them."""

log = structlog.get_logger(__name__)

Run = Callable[[OneCall, Any], Awaitable[BaseModel]]


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """A service: its description, what carries it out, and what it calls a part's failure."""

    described: RouteDescription
    run: Run
    error: str


def service_of(at: str, run: Run, error: str, status: int = 200) -> ServiceRoute:
    """Return a route; its body and answer are those of the function that carries it out."""
    method, _, path = at.partition(" ")
    types = get_type_hints(run)
    summary = (run.__doc__ or "").partition(";")[0].rstrip(".")
    described = RouteDescription(
        method, path, summary, types["body"], types["return"], method != "POST", status
    )
    return ServiceRoute(described, run, error)


SERVICES: Final = (
    service_of("POST /ai/process-audio", calls.process_audio, "ProcessingError"),
    service_of("POST /ai/transcribe", calls.transcribe, "TranscriptionError"),
    service_of("POST /ai/generate", calls.generate, "GenerationError"),
    service_of("POST /ai/chat", calls.chat, "ChatError"),
    service_of("POST /ai/rag", documents.rag, "RAGError"),
    service_of("POST /ai/rag/documents", documents.add, "RAGError", 201),
    service_of("GET /ai/rag/documents", documents.show, "RAGError"),
    service_of("DELETE /ai/rag/documents", documents.delete, "RAGError"),
)
"""Another service is another row."""
OPEN: Final = (
    RouteDescription("GET", "/ai", "What there is", is_open=True),
    RouteDescription("GET", "/ai/health", "Whether the services work", is_open=True),
    RouteDescription("GET", "/ai/health/gpu", "The graphics card", is_open=True),
    RouteDescription("GET", "/ai/health/services", "Each service", is_open=True),
    RouteDescription("GET", "/openapi.json", "This document", is_open=True),
)
SPEECH: Final = (
    RouteDescription("POST", "/ai/voice-transcribe", "Write down a recording, sent as a form"),
    RouteDescription("POST", "/ai/voice-synthesize", "Speak a text, as MP3", SpeakBody),
    RouteDescription("GET", "/ai/stream", "A WebSocket: answers as they are written"),
)


@dataclass(frozen=True, slots=True)
class ServicesOptions:
    """Settings: where the model is, without secrets, and the folder of the pages' files."""

    llm_host: str = ""
    allowed_origins: tuple[str, ...] = ()
    page_files: Path | None = None


class ServicesDoor:
    """The services of S4 on the cascade's parts; an `HttpDoor`."""

    name = "services"

    def __init__(
        self,
        options: ServicesOptions,
        serving: Serving,
        services: Sequence[ServiceRoute] = SERVICES,
    ) -> None:
        self._options = options
        self._serving = serving
        self._services = services
        self._watch = serving.health
        self._began = time.monotonic()
        self._tasks = Tasks(_fault)
        described = [*(service.described for service in services), *SPEECH, *OPEN]
        self._document = document(described, TITLE, VERSION)
        headers = "Authorization, api-key, x-api-key, Content-Type"
        self._cors = CorsPolicy(options.allowed_origins, headers, ", ".join(METHODS))
        self._http = DoorHttp(self._cors, envelope)

    def routes(self, accept: Accept) -> Iterator[web.AbstractRouteDef]:
        """Return its routes; on the loop, for the services are watched from now on."""
        if not len(self._tasks):
            self._tasks.run(self._watch.run(), "services.health")
            self._tasks.run(_started(self._serving.backing.decoder), "services.decoder")
        plain = (route for prefix in FUNCTIONS for route in speech_routes(self._serving, prefix))
        yield from DoorHttp(self._cors, plain_error).routes(plain)
        yield from self._http.routes(self._table())
        if self._options.page_files is not None:
            yield web.static(FILES, self._options.page_files)
        yield from self._http.routes((each, "/ai/{rest:.*}", self._nothing) for each in METHODS)

    def own_routes(self) -> Iterator[web.AbstractRouteDef]:
        """Return those of its old port alone."""
        yield from self._http.routes([("GET", "/", self._root), ("GET", "/health", self._health)])
        yield from self._http.routes((each, "/{rest:.*}", self._nothing) for each in METHODS)

    async def aclose(self) -> None:
        """Stop watching the services."""
        await self._tasks.aclose()

    def _table(self) -> Iterator[Route]:
        for service in self._services:
            told = service.described
            handler = self._serving.guarded(told.path, service.error, self._handler(service))
            yield told.method, told.path, handler
            if told.method == "DELETE":
                yield told.method, f"{told.path}/{{id}}", handler
        streaming = partial(stream, self._serving)
        yield "GET", "/ai/stream", self._serving.guarded("/ai/stream", ERROR, streaming)
        yield "GET", "/ai", self._index
        yield "GET", "/ai/health", self._health
        yield "GET", "/ai/health/gpu", self._gpu
        yield "GET", "/ai/health/services", self._each
        yield "GET", "/openapi.json", self._describe
        yield from page_routes(self._document, self._options.page_files)

    def _handler(self, service: ServiceRoute) -> Any:
        told = service.described
        assert told.body is not None  # noqa: S101 - every service has one
        read = read_as(told.body)

        async def handle(request: web.Request) -> web.Response:
            async with self._serving.call(request, read) as (call, body):
                return answer(await service.run(call, body), told.status)

        return handle

    async def _nothing(self, _request: web.Request) -> web.Response:
        raise CallRefused(404, "not_found", "There is nothing at this address.")

    async def _describe(self, _request: web.Request) -> web.Response:
        return web.json_response(self._document)

    async def _root(self, _request: web.Request) -> web.Response:
        told = {"service": TITLE, "version": VERSION, "status": "running", "docs": "/docs"}
        return web.json_response(told)

    async def _index(self, _request: web.Request) -> web.Response:
        uptime = round(time.monotonic() - self._began, 1)
        told = {"services": list(self._watch.states), "endpoints": list(self._document["paths"])}
        return web.json_response({**told, "uptime": uptime})

    async def _health(self, _request: web.Request) -> web.Response:
        await self._watch.seen()
        names = ("gpu_available", "gpu_name", "memory_used", "memory_total", "utilization")
        gpu = {name: self._watch.gpu[name] for name in names if name in self._watch.gpu}
        states = {name: state.available for name, state in self._watch.states.items()}
        latency = {name: state.latency_ms for name, state in self._watch.states.items()}
        return web.json_response(
            {
                "status": self._status,
                "services": {"status": self._status, **states},
                "latency_ms": latency,
                "gpu": gpu,
                "uptime": round(time.monotonic() - self._began, 1),
                "version": VERSION,
            }
        )

    async def _gpu(self, _request: web.Request) -> web.Response:
        await self._watch.seen()
        gpu = dict(self._watch.gpu)
        more = {
            "cuda_version": gpu.pop("cuda_version", None),
            "pytorch_version": None,  # the parts compute without it
            "device_count": gpu.pop("device_count", 0),
            "current_device": 0 if gpu["gpu_available"] else None,
            "libraries": library_versions(),
        }
        return web.json_response({"gpu_metrics": gpu, "additional_info": more})

    async def _each(self, _request: web.Request) -> web.Response:
        await self._watch.seen()
        parts, host = self._serving.backing.parts(), self._options.llm_host or "local"
        more: dict[str, dict[str, Any]] = {
            "whisper": {"device": getattr(parts.transcriber, "device", "") or "remote"},
            "ollama": {"host": host, "model": parts.make_responder().name},
            "langchain": {"host": None},
        }
        shown = {
            name: {
                "available": state.available,
                **more.get(name, {}),
                "latency_ms": state.latency_ms,
                "reason": state.reason,
            }
            for name, state in self._watch.states.items()
        }
        return web.json_response({"services": shown, "overall_status": self._status})

    @property
    def _status(self) -> str:
        is_whole = all(state.available for state in self._watch.states.values())
        return "healthy" if is_whole else "degraded"


async def _started(decoder: AudioDecoder) -> None:
    """Start the decoder; where it cannot be started, who needs it is told."""
    with suppress(PartFailed):
        await decoder.prepare()


def _fault(name: str, fault: BaseException) -> None:
    log.error("task failed", task=name, error=type(fault).__name__)

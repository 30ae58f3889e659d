"""The HTTP side of the simulator: addresses, keys, bounds and faults around the endpoints."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from relay.engines.cascade.effects import unix
from relay.parts.interfaces import PartFailed, Parts, Responder
from relay.simulator.faults.http import NO_REQUEST_FAULTS, HttpFailed, HttpFaults
from relay.simulator.http.answers import Answer, refusal, send
from relay.simulator.http.bodies import MAX_REQUESTS, Holding, Load, convert, read_form, read_json
from relay.simulator.http.chat import complete_chat
from relay.simulator.http.chat_request import ChatBody
from relay.simulator.http.embeddings import EmbeddingsBody, embed_texts
from relay.simulator.http.models import check_model, describe_model, list_models
from relay.simulator.http.refusals import (
    BAD_KEY,
    BROKEN,
    NO_KEY,
    HttpFailure,
    HttpRefused,
    invalid,
    part_failure,
)
from relay.simulator.http.speech import SpeechBody, speak_text
from relay.simulator.http.transcriptions import transcribe_file

PREFIXES = ("/v1", "/openai/v1")
"""What the addresses begin with; the second is Azure's."""

STOP_SECONDS = 0.2
"""Seconds that requests under way get when the simulator stops."""

_log = logging.getLogger("relay.simulator")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Endpoint = Callable[[web.Request, Holding], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as a test may look at it.

    `path` begins with `/v1`, `headers` have lower-case names, `fields` are those of the JSON or of
    the form, without the file.
    """

    path: str
    headers: Mapping[str, str]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What the HTTP side answers with and to whom; see `SimulatorOptions`."""

    parts: Parts
    accepts_key: Callable[[str], bool]
    models: frozenset[str] | None
    faults: HttpFaults
    on_request: Callable[[SeenRequest], None] | None = None
    max_requests: int = MAX_REQUESTS


class HttpApi:
    """OpenAI's HTTP API, for connections that somebody else accepts.

    One responder answers all requests: the chats of one client are not told from another's.
    """

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._load = Load(options.max_requests)
        self._responder: Responder | None = None
        self._runner = web.AppRunner(
            self._application(),
            handler_cancellation=True,  # a client that leaves stops the work
            access_log=None,
            shutdown_timeout=STOP_SECONDS,
        )

    @property
    def requests(self) -> int:
        """Return how many requests are being carried out."""
        return self._load.requests

    async def start(self) -> None:
        """Get ready for connections."""
        await self._runner.setup()

    def connect(self) -> asyncio.Protocol:
        """Return the protocol of one connection."""
        if self._runner.server is None:
            raise RuntimeError("the simulator is not running")
        return self._runner.server()

    async def aclose(self) -> None:
        """Close every connection; what is under way is cancelled."""
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._answer_errors, self._admit])
        app.on_response_prepare.append(_add_request_id)
        for prefix in PREFIXES:
            app.add_routes(
                [
                    web.post(f"{prefix}/audio/transcriptions", self._endpoint(self._transcribe)),
                    web.post(f"{prefix}/audio/speech", self._endpoint(self._speak)),
                    web.post(f"{prefix}/chat/completions", self._endpoint(self._chat)),
                    web.post(f"{prefix}/embeddings", self._endpoint(self._embed)),
                    web.get(f"{prefix}/models", self._endpoint(self._models)),
                    web.get(f"{prefix}/models/{{model:.+}}", self._endpoint(self._models)),
                ]
            )
        return app

    # ------------------------------------------------------------------------- around the endpoints

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer everything that goes wrong in OpenAI's shape."""
        try:
            return await handler(request)
        except HttpRefused as refused:
            error = refused.answer
        except PartFailed as failed:
            error = part_failure(failed)
        except web.HTTPException as failed:
            error = _routing_error(request, failed.status)
        except ConnectionError:
            raise  # the client has left: there is nobody to tell
        except Exception:  # noqa: BLE001 - the edge where a fault becomes an answer
            _log.exception("request failed")
            error = BROKEN
        return await send(request, refusal(error), NO_REQUEST_FAULTS, not_before=0)

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests without a key that is accepted."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise HttpRefused(NO_KEY)
        if not self._options.accepts_key(key.strip()):
            raise HttpRefused(BAD_KEY)
        return await handler(request)

    def _endpoint(self, endpoint: Endpoint) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            arrived = asyncio.get_running_loop().time()
            faults = self._options.faults.next(_counted_as(_path(request)))
            with self._load.admit() as holding:
                if faults.failed is None:
                    answer = await endpoint(request, holding)
                else:
                    answer = refusal(_as_error(faults.failed))
                return await send(request, answer, faults, arrived + faults.late_seconds)

        return handle

    async def _json(self, request: web.Request, holding: Holding) -> Any:
        value = await read_json(request, holding)
        if not isinstance(value, dict):
            raise invalid("The body has to be a JSON object.")
        self._look(request, value)
        return value

    def _look(self, request: web.Request, fields: Mapping[str, Any]) -> None:
        """Show a request to a test, and check its model."""
        if self._options.on_request is not None:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self._options.on_request(SeenRequest(_path(request), headers, fields))
        model = fields.get("model")
        if isinstance(model, str):
            check_model(model, self._options.models)

    # ------------------------------------------------------------------------------- the endpoints

    async def _transcribe(self, request: web.Request, holding: Holding) -> Answer:
        form = await read_form(request, holding)
        self._look(request, form.fields)
        return await transcribe_file(self._options.parts.transcriber, form, holding)

    async def _speak(self, request: web.Request, holding: Holding) -> Answer:
        body = convert(await self._json(request, holding), SpeechBody)
        return await speak_text(self._options.parts.synthesizer, body)

    async def _chat(self, request: web.Request, holding: Holding) -> Answer:
        body = convert(await self._json(request, holding), ChatBody)
        if self._responder is None:
            self._responder = self._options.parts.make_responder()
        return await complete_chat(self._responder, body, unix())

    async def _embed(self, request: web.Request, holding: Holding) -> Answer:
        return await embed_texts(convert(await self._json(request, holding), EmbeddingsBody))

    async def _models(self, request: web.Request, _: Holding) -> Answer:
        name = request.match_info.get("model")
        if name is None:
            return list_models(self._options.models)
        return describe_model(name, self._options.models)


async def _add_request_id(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"


def _path(request: web.Request) -> str:
    """Return a request's path as it is below OpenAI's own prefix."""
    return request.path.removeprefix("/openai")


def _counted_as(path: str) -> str:
    """Return the path that a fault counts a request under."""
    return "/v1/models" if path.startswith("/v1/models/") else path


def _as_error(fault: HttpFailed) -> HttpFailure:
    return HttpFailure(
        fault.status, fault.message, fault.type, fault.code, retry_after=fault.retry_after
    )


def _routing_error(request: web.Request, status: int) -> HttpFailure:
    """Return the error for an address that has no such method, or is none."""
    place = f"{request.method} {request.path[:200]}"
    if status == 405:
        return HttpFailure(405, f"Not allowed: {place}.", code="method_not_supported")
    if status == 404:
        return HttpFailure(404, f"Invalid URL ({place})")
    return HttpFailure(status, f"The request cannot be answered ({status}).")

"""Carries out calls: who, how much, with which model; and turns what fails into refusals."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from relay.audio.decoding import AudioRejected
from relay.calls.http import CallRefused, read_request, refused_by
from relay.doors.services.account import Accounting
from relay.doors.services.callers import Callers
from relay.doors.services.calls import Backing, OneCall
from relay.doors.services.failures import of_audio, of_part, of_schema
from relay.doors.services.health import SERVICE_OF, HealthWatch
from relay.doors.services.models import AIOptions
from relay.doors.services.work import PartWork, RunTool
from relay.parts.interfaces import PartFailed, Parts
from relay.parts.measuring import PartObserver
from relay.realtime.endings import SessionRefused
from relay.realtime.grant import Grant
from relay.tasks import where

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""Of one body in JSON: 24 MB of audio, in base64."""

log = structlog.get_logger(__name__)

Body = TypeVar("Body", bound=BaseModel)
MakeTools = Callable[[Grant, str, str], RunTool | None]
"""Given a grant, a call's id and a conversation's: what runs the agent's tools, None without."""
ReadBody = Callable[[web.Request], Awaitable[Body]]
"""Reads what a request asks; raises `CallRefused`."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Carries out calls.

    `unnamed_model` is asked for where a caller names none, None for the responder's own.
    """

    callers: Callers
    accounting: Accounting
    backing: Backing
    health: HealthWatch
    observer: PartObserver
    make_tools: MakeTools
    unnamed_model: str | None = None

    @asynccontextmanager
    async def call(
        self, request: web.Request, read: ReadBody[Body]
    ) -> AsyncIterator[tuple[OneCall, Body]]:
        """Admit a caller, read the body, hold budget while the call lasts, and settle it."""
        who = await self.callers.identify(request)
        with self.callers.place(who):
            body = await read(request)
            config = getattr(body, "config", None)
            asked = self._model(config)
            grant = await self.callers.grant(who, asked)
            account = await self.accounting.open(grant)
            run_tool = self.make_tools(grant, account.call_id, account.call_id)
            parts = self.backing.parts()
            work = PartWork(parts, grant, run_tool, self.observer)
            model = self._granted(grant, asked, parts)
            try:
                yield OneCall(self.backing, who, grant, work, model), body
            finally:
                is_asked = work.model in (model, f"{model}:latest")
                is_billed = parts.make_responder().name in parts.billed
                more = {work.model} if is_asked and is_billed else set()
                account.close(work.used, parts.billed | more)
            if work.model and not is_asked and _names(config):
                self.accounting.counter.model_replaced()

    def _granted(self, grant: Grant, asked: str | None, parts: Parts) -> str | None:
        """Return the model that is asked for, None where the agent or its budget does not allow it.

        A model without a price may not spend from a budget.
        """
        is_free = parts.make_responder().name not in parts.billed
        has_price = is_free or self.accounting.prices.find(asked or "") is not None
        may_choose = asked == grant.model and (has_price or not grant.bounds.is_budgeted)
        return asked if may_choose else None

    def _model(self, config: AIOptions | None) -> str | None:
        """Return the model that a caller asks for, by the name that the back end may have."""
        if config is None:
            return None
        if not _names(config):
            return self.unnamed_model
        return self.backing.aliases.get(config.model, config.model)

    def guarded(self, name: str, error: str, handler: Handler) -> Handler:
        """Return a handler whose calls are logged and which raises nothing but `CallRefused`.

        `error` is the name of what a part's failure is called here.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            began, status = time.monotonic(), 500
            try:
                response = await handler(request)
                status = response.status
            except Exception as fault:
                refused = self.refused(fault, error)
                status = refused.status
                raise refused from fault
            finally:
                ms = round((time.monotonic() - began) * 1000, 1)
                log.info("service called", service=name, status=status, ms=ms)
            return response

        return handle

    def refused(self, fault: Exception, error: str) -> CallRefused:
        """Return what a fault is for the caller; one of ours is told to the log."""
        match fault:
            case CallRefused():
                return fault
            case SessionRefused():
                return refused_by(fault)
            case AudioRejected():
                return of_audio(fault)
            case PartFailed():
                log.warning("part failed", part=fault.part, code=fault.code, detail=fault.detail)
                told = of_part(fault, error)
                if told.status == 503 and fault.code != "busy":
                    self.health.failed(SERVICE_OF.get(fault.part, ""), fault.code)
                return told
            case _:
                pass
        log.error("service failed", fault=where(fault))
        return CallRefused(500, "internal_error", "The server failed to answer.")


def _names(config: AIOptions | None) -> bool:
    """Whether the caller names a model."""
    return config is not None and "model" in config.model_fields_set


def read_as(model: type[Body]) -> ReadBody[Body]:
    """Return a reader of bodies in JSON; without a body, what the address says is read."""

    async def read(request: web.Request) -> Body:
        data = await read_request(request, MAX_BODY_BYTES)
        if not data and request.method != "POST":
            data = json.dumps({**request.query, **request.match_info}).encode()
        return await asyncio.to_thread(parsed, model, data)

    return read


def parsed(model: type[Body], data: bytes) -> Body:
    """Return what a caller sent as this model; raises `CallRefused`."""
    try:
        return model.model_validate_json(data)
    except ValidationError as fault:
        raise of_schema(fault) from None


def answer(body: BaseModel, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(text=body.model_dump_json(), status=status, content_type="application/json")

"""Sends an answer, whole or piece by piece, with the faults that happen to it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec
from aiohttp import web

from relay.parts.interfaces import PartFailed
from relay.simulator.faults.http import RequestFaults
from relay.simulator.http.refusals import HttpFailure, HttpRefused, part_failure

PIECE_BYTES = 4800
"""The largest piece of a body that is sent at once: 100 ms of PCM16 at 24 kHz."""

STATELESS_WAIT_SECONDS = 30.0
"""Predicted wait above which a part refuses a request, which has no turn to hold up."""

MAX_STALL_SECONDS = 3600.0
"""How long a stalled answer keeps its connection."""

EVENT_STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that is sent at once."""

    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that is sent as it is made.

    What fails before the first piece becomes an error answer. Later an event stream ends with the
    error as an event, and any other answer is cut off.
    """

    pieces: AsyncGenerator[bytes, None]
    content_type: str = EVENT_STREAM


Answer = Whole | Streamed


@asynccontextmanager
async def closing(pieces: AsyncIterator[Any]) -> AsyncIterator[None]:
    """Stop what a part still does for an iterator that is not read to its end."""
    try:
        yield
    finally:
        aclose = getattr(pieces, "aclose", None)
        if aclose is not None:
            await aclose()


def as_whole(value: Any) -> Whole:
    """Return a value as a JSON answer."""
    return Whole(msgspec.json.encode(value))


def as_event(value: Any) -> bytes:
    """Return a value as one server-sent event."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def refusal(error: HttpFailure) -> Whole:
    """Return the answer that tells an error."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return Whole(error.body(), headers=headers, status=error.status)


async def send(
    request: web.Request, answer: Answer, faults: RequestFaults, not_before: float
) -> web.StreamResponse:
    """Send an answer; its first byte comes at `not_before` (the loop's time) or later."""
    pieces = _pieces(answer)
    async with aclosing(pieces):
        piece = await anext(pieces, None)  # a failure up to here is an answer of its own
        await asyncio.sleep(not_before - asyncio.get_running_loop().time())
        response = _response(answer, faults)
        await response.prepare(request)
        sent = 0
        while piece is not None:
            await _break_off(request, faults, sent)
            if sent and faults.slow_seconds:
                await asyncio.sleep(faults.slow_seconds)
            await response.write(piece)
            sent += 1
            piece = await _next(request, pieces)
        await _break_off(request, faults, sent)
    await response.write_eof()
    return response


async def _next(request: web.Request, pieces: AsyncGenerator[bytes, None]) -> bytes | None:
    """Return the next piece, None at the end; a failure cuts the answer off."""
    try:
        return await anext(pieces, None)
    except (PartFailed, HttpRefused):
        drop(request)


async def _break_off(request: web.Request, faults: RequestFaults, sent: int) -> None:
    """End or stall an answer after so many pieces, where a fault says so."""
    if sent == faults.stalled_after:
        await asyncio.sleep(MAX_STALL_SECONDS)  # a client that leaves cancels it
    if sent in (faults.cut_after, faults.stalled_after):
        drop(request)


def drop(request: web.Request) -> NoReturn:
    """Lose the connection without the end of the answer; what is written already is sent."""
    if request.transport is not None:
        request.transport.close()
    raise asyncio.CancelledError  # what aiohttp takes for a connection that is gone


def _response(answer: Answer, faults: RequestFaults) -> web.StreamResponse:
    response = web.StreamResponse()
    response.headers["Content-Type"] = answer.content_type
    if isinstance(answer, Whole):
        response.set_status(answer.status)
        response.headers.update(answer.headers)
        if not faults.ends_early:
            response.content_length = len(answer.body)
    else:
        response.headers["Cache-Control"] = "no-cache"
    return response


async def _pieces(answer: Answer) -> AsyncGenerator[bytes, None]:
    if isinstance(answer, Whole):
        for piece in _split(answer.body):
            yield piece
        return
    events = answer.content_type == EVENT_STREAM
    begun = False
    async with aclosing(answer.pieces):
        try:
            async for made in answer.pieces:
                for piece in [made] if events else _split(made):
                    begun = True
                    yield piece
        except (PartFailed, HttpRefused) as error:
            if not (begun and events):
                raise
            told = part_failure(error) if isinstance(error, PartFailed) else error.answer
            yield b"data: " + told.body() + b"\n\n"


def _split(body: bytes) -> list[bytes]:
    return [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)]

"""Servers on loopback that stand in for providers: strict, and as faulty as they are told to be."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from aiohttp import web

LARGEST_REQUEST = 25 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    `status`: answered with it, in the provider's shape. `wait`: seconds before the answer.
    `drop`: the connection is reset instead of an answer. `cut_after`, `stall_after`: pieces of
    the answer after which the connection is reset, or nothing more comes. `redirect`: to there.
    """

    status: int = 0
    wait: float = 0.0
    drop: bool = False
    cut_after: int | None = None
    stall_after: int | None = None
    redirect: str = ""


NONE = Fault()
FAULT = web.RequestKey("fault", Fault)


class Refused(Exception):  # noqa: N818 - an answer, not a fault of the double
    """The request is not as the provider documents it, or its key is wrong."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


def _code_alone(_: int, code: str) -> object:
    """Return the body of an error of no provider in particular."""
    return {"error": {"code": code}}


@dataclass
class Double:
    """What a double was asked and how it behaves; `faults` are taken in turn, one a request.

    `arrived` and `gone` count requests that came and clients that hung up before the answer's end.
    """

    error_body: Callable[[int, str], object] = _code_alone
    faults: deque[Fault] = field(default_factory=deque)
    headers: list[dict[str, str]] = field(default_factory=list)
    peers: list[object] = field(default_factory=list)
    """The connections that the requests came by."""
    bodies: list[Any] = field(default_factory=list)
    sent: int = 0
    gone: int = 0
    under_way: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    pace: float = 0.0
    """Seconds between pieces."""

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that the double counts is so."""
        while not holds():
            self.changed.clear()
            await self.changed.wait()

    async def rest(self) -> None:
        """Wait until no request is under way."""
        await self.until(lambda: self.under_way == 0)

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Count, misbehave, and answer what is refused in the provider's shape."""
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.peers.append(request.transport.get_extra_info("peername"))
        self._change(1)
        fault = self.faults.popleft() if self.faults else NONE
        request[FAULT] = fault
        try:
            await asyncio.sleep(fault.wait)
            if fault.drop:
                _reset(request)
                return web.Response()
            if fault.redirect:
                return web.Response(status=307, headers={"Location": fault.redirect})
            if fault.status:
                raise Refused(fault.status, "made_to_fail")  # noqa: TRY301 - as a handler would
            return await handler(request)
        except Refused as refused:
            return web.json_response(
                self.error_body(refused.status, refused.code), status=refused.status
            )
        except asyncio.CancelledError:
            self.gone += 1
            raise
        finally:
            self._change(-1)

    async def answer(
        self, request: web.Request, pieces: Sequence[bytes], content_type: str
    ) -> web.StreamResponse:
        """Stream the pieces, as far as the fault lets them go."""
        fault = request[FAULT]
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for number, piece in enumerate([*pieces, b""]):
            if number == fault.cut_after:
                _reset(request)
                return response
            if number == fault.stall_after:
                await asyncio.sleep(3600)
            if piece:
                await response.write(piece)
                self.sent += 1
                self.changed.set()
            await asyncio.sleep(self.pace)
        await response.write_eof()
        return response

    def _change(self, more: int) -> None:
        self.under_way += more
        self.changed.set()


def _reset(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


@asynccontextmanager
async def serving(double: Double, *routes: web.RouteDef, port: int = 0) -> AsyncIterator[str]:
    """Serve the double on loopback; yields its address."""
    app = web.Application(middlewares=[double.middleware], client_max_size=LARGEST_REQUEST)
    app.add_routes(routes)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def demand(holds: object, status: int, code: str) -> None:
    """Refuse the request unless this is so."""
    if not holds:
        raise Refused(status, code)


def split(data: bytes, size: int) -> list[bytes]:
    """Cut into pieces of `size` bytes; an odd size cuts samples in two."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def hertz(pcm: bytes, rate: int) -> int:
    """Return the pitch of a tone, to the next ten: what a double understands of speech."""
    samples = memoryview(pcm[: len(pcm) & ~1]).cast("h")
    crossings = sum(before < 0 <= after for before, after in pairwise(samples))
    return int(round(crossings * rate / max(len(samples), 1), -1))


def wav_samples(wav: bytes, rate: int) -> bytes:
    """Return the samples of a WAV file that must be PCM16, mono, at this rate."""
    demand(wav[:4] == b"RIFF" and wav[8:16] == b"WAVEfmt ", 400, "not_a_wav")
    demand(int.from_bytes(wav[4:8], "little") == len(wav) - 8, 400, "wrong_riff_length")
    channels, found = int.from_bytes(wav[22:24], "little"), int.from_bytes(wav[24:28], "little")
    demand((channels, found) == (1, rate), 400, "wrong_format")
    demand(int.from_bytes(wav[34:36], "little") == 16, 400, "wrong_width")
    demand(int.from_bytes(wav[40:44], "little") == len(wav) - 44, 400, "wrong_data_length")
    return wav[44:]

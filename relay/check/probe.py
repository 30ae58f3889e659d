"""Whether it is a relay that answers at an address: told by what no other server says."""

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from relay.realtime.dialects.client import GaView, S3View, View
from relay.realtime.endings import AT_CAPACITY, MISSING_PARAMETERS, UNAUTHORIZED, Ending

SECONDS: Final = 5.0
"""For one question, connecting included."""

HEALTH_FIELDS: Final = {"status", "activeConnections", "maxConnections", "uptime", "timestamp"}
MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read; a relay's has some hundred."""


def _close(view: View, ending: Ending) -> tuple[int, str]:
    farewell = view.farewell(ending)
    return farewell.code, farewell.reason


PATHS: Final = {
    "/": frozenset(
        {_close(S3View(), ending) for ending in (MISSING_PARAMETERS, AT_CAPACITY)},
    ),
    "/v1/realtime": frozenset(
        {_close(GaView(), ending) for ending in (UNAUTHORIZED, AT_CAPACITY)},
    ),
}
"""How a relay's doors close on a caller without a token: two frames that no other server sends."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: whether a relay said it, and what was said; `status` is HTTP's, if any."""

    is_relay: bool
    said: str
    status: int | None = None


async def ask_health(origin: str, tls: ssl.SSLContext | None = None) -> Answer:
    """GET `/health` of an `http(s)://host:port`; never raises."""
    limit = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.get(f"{origin}/health", allow_redirects=False, ssl=tls or True) as answer,
        ):
            body = await answer.content.read(MAX_ANSWER)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return Answer(False, reason(error))
    return Answer(_is_health(body), f"HTTP {answer.status}", answer.status)


def _is_health(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() == HEALTH_FIELDS


async def ask_voice(origin: str, path: str, tls: ssl.SSLContext | None = None) -> Answer:
    """Upgrade at one of `PATHS` of a `ws(s)://host:port`, without a token; never raises."""
    options: dict[str, Any] = {"compression": None, "close_timeout": 1, "max_size": MAX_ANSWER}
    if tls is not None:
        options["ssl"] = tls
    try:
        async with asyncio.timeout(SECONDS), connect(origin + path, **options) as socket:
            code, said = await _hear_out(socket)
    except InvalidStatus as refused:
        status = refused.response.status_code
        return Answer(False, f"HTTP {status} instead of an upgrade", status)
    except (InvalidHandshake, InvalidURI, TimeoutError, OSError) as error:
        return Answer(False, reason(error))
    return Answer((code, said) in PATHS[path], f"close {code} {said}".rstrip(), 101)


async def _hear_out(socket: ClientConnection) -> tuple[int, str]:
    """Read to the close; 1006 where none was said."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def reason(error: Exception) -> str:
    """Why nothing was answered, in few words."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not trusted: {error.verify_message}"
        case TimeoutError():
            return f"no answer in {SECONDS:.0f} s"
        case ConnectionRefusedError():
            return "nobody listens there"
        case OSError(strerror=str(why)) if why:
            return why
        case _:
            return type(error).__name__

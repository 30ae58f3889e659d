"""Whether the relay's public address leads to the relay: health, and both doors by WebSocket."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from relay.check.runner import CheckResult, fail, ok, skip
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.endings import AT_CAPACITY, MISSING_PARAMETERS, UNAUTHORIZED, Ending

# ---- Whether it is a relay that answers at an address: told by what no other server says.

SECONDS: Final = 5.0
"""For one question, connecting included."""

HEALTH_FIELDS: Final = {"status", "activeConnections", "maxConnections", "uptime", "timestamp"}
MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read; a relay's has some hundred."""


def _close(view: ClientDialect, ending: Ending) -> tuple[int, str]:
    farewell = view.farewell(ending)
    return farewell.code, farewell.reason


PATHS: Final = {
    "/": frozenset(
        {_close(BrowserDialect(), ending) for ending in (MISSING_PARAMETERS, AT_CAPACITY)},
    ),
    "/v1/realtime": frozenset(
        {_close(GaDialect(), ending) for ending in (UNAUTHORIZED, AT_CAPACITY)},
    ),
}
"""How a relay's doors close on a caller without a token: two frames that no other server sends."""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What came back: whether a relay said it, and what was said; `status` is HTTP's, if any."""

    is_relay: bool
    said: str
    status: int | None = None


async def ask_health(origin: str, tls: ssl.SSLContext | None = None) -> ProbeAnswer:
    """GET `/health` of an `http(s)://host:port`; never raises."""
    limit = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.get(f"{origin}/health", allow_redirects=False, ssl=tls or True) as answer,
        ):
            body = await answer.content.read(MAX_ANSWER)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return ProbeAnswer(False, reason(error))
    return ProbeAnswer(_is_health(body), f"HTTP {answer.status}", answer.status)


def _is_health(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() == HEALTH_FIELDS


async def ask_voice(origin: str, path: str, tls: ssl.SSLContext | None = None) -> ProbeAnswer:
    """Upgrade at one of `PATHS` of a `ws(s)://host:port`, without a token; never raises."""
    options: dict[str, Any] = {"compression": None, "close_timeout": 1, "max_size": MAX_ANSWER}
    if tls is not None:
        options["ssl"] = tls
    try:
        async with asyncio.timeout(SECONDS), connect(origin + path, **options) as socket:
            code, said = await _hear_out(socket)
    except InvalidStatus as refused:
        status = refused.response.status_code
        return ProbeAnswer(False, f"HTTP {status} instead of an upgrade", status)
    except (InvalidHandshake, InvalidURI, TimeoutError, OSError) as error:
        return ProbeAnswer(False, reason(error))
    return ProbeAnswer((code, said) in PATHS[path], f"close {code} {said}".rstrip(), 101)


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


_NO_UPSTREAM: Final = {
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_CONF: Final = "nginx/relay.conf shows how"

Started = Callable[[], Awaitable[bool]]
"""Whether a relay runs on this machine, so that there is something to reach."""


async def proxied_health(
    url: str, started: Started, tls: ssl.SSLContext | None = None
) -> CheckResult:
    """Ask for the relay's health through the proxy."""
    answer = await ask_health(url.rstrip("/"), tls)
    if answer.is_relay:
        return ok(f"{url}/health is the relay's")
    mend = f"route /health to the HTTP listener; {_CONF}"
    return await _missed(f"{url}/health", answer, mend, started)


async def proxied_voice(
    url: str, started: Started, tls: ssl.SSLContext | None = None
) -> CheckResult:
    """Upgrade through the proxy at each door's path."""
    address = _voice_address(url)
    for path in PATHS:
        answer = await ask_voice(address, path, tls)
        if not answer.is_relay:
            mend = f"route upgrades to the voice listener; {_CONF}"
            return await _missed(address + path, answer, mend, started)
    return ok(f"{address} leads to the relay's doors")


def _voice_address(url: str) -> str:
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return parts._replace(scheme=scheme).geturl().rstrip("/")


async def _missed(address: str, answer: ProbeAnswer, mend: str, started: Started) -> CheckResult:
    if answer.status in _NO_UPSTREAM:
        if not await started():
            return skip(f"{address} answers {answer.said}, but no relay runs here yet")
        mend = f"point the proxy at the relay's ports; {_CONF}"
    elif answer.status is None:
        mend = "is the proxy running, and PUBLIC_URL its address?"
    return fail(f"{address} is not the relay's: {answer.said}", mend)

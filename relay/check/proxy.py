"""Probes an address for a relay, and the public address for a proxy that leads to it."""

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
from relay.egress import way_out
from relay.http_body import read_beginning
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.endings import AT_CAPACITY, MISSING_PARAMETERS, UNAUTHORIZED, Ending
from relay.websocket.tunnel import ProxyRefusal, open_way

SECONDS: Final = 5.0
"""For one request, connecting included."""
MAX_RESPONSE_BYTES: Final = 64 * 1024
"""Read of one response; a relay's has some hundred."""
HEALTH_FIELDS: Final = {"status", "activeConnections", "maxConnections", "uptime", "timestamp"}
_NO_UPSTREAM: Final = {
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_EXAMPLE: Final = "nginx/relay.conf shows how"

IsRunning = Callable[[], Awaitable[bool]]
"""Tells whether a relay runs on this machine, so that the proxy has something to reach."""


def _close(dialect: ClientDialect, ending: Ending) -> tuple[int, str]:
    frame = dialect.farewell(ending)
    return frame.code, frame.reason


DOOR_CLOSES: Final = {
    "/": frozenset(
        {_close(BrowserDialect(), ending) for ending in (MISSING_PARAMETERS, AT_CAPACITY)},
    ),
    "/v1/realtime": frozenset(
        {_close(GaDialect(), ending) for ending in (UNAUTHORIZED, AT_CAPACITY)},
    ),
}
"""By path: the close codes and reasons that a relay's door gives a client without a token.

No other server sends them, so they identify a relay.
"""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """The answer of an address: `text` for people, and the HTTP `status` where there was one."""

    is_relay: bool
    text: str
    status: int | None = None


async def check_proxied_health(
    url: str, is_running: IsRunning, tls: ssl.SSLContext | None = None
) -> CheckResult:
    """Request the relay's health through the proxy."""
    answer = await probe_health(url.rstrip("/"), tls)
    if answer.is_relay:
        return ok(f"{url}/health is the relay's")
    hint = f"route /health to the HTTP listener; {_EXAMPLE}"
    return await _not_reached(f"{url}/health", answer, hint, is_running)


async def check_proxied_voice(
    url: str, is_running: IsRunning, tls: ssl.SSLContext | None = None
) -> CheckResult:
    """Upgrade through the proxy at each door's path."""
    origin = _voice_origin(url)
    for path in DOOR_CLOSES:
        answer = await probe_voice(origin, path, tls)
        if not answer.is_relay:
            hint = f"route upgrades to the voice listener; {_EXAMPLE}"
            return await _not_reached(origin + path, answer, hint, is_running)
    return ok(f"{origin} leads to the relay's doors")


def _voice_origin(url: str) -> str:
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return parts._replace(scheme=scheme).geturl().rstrip("/")


async def _not_reached(
    address: str, answer: ProbeAnswer, hint: str, is_running: IsRunning
) -> CheckResult:
    if answer.status in _NO_UPSTREAM:
        if not await is_running():
            return skip(f"{address} answers {answer.text}, but no relay is running here yet")
        hint = f"point the proxy at the relay's ports; {_EXAMPLE}"
    elif answer.status is None:
        hint = "is the proxy running, and is PUBLIC_URL its address?"
    return fail(f"{address} is not the relay's: {answer.text}", hint)


async def probe_health(origin: str, tls: ssl.SSLContext | None = None) -> ProbeAnswer:
    """GET `/health` of an `http(s)://host:port`; never raises."""
    limit = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            way_out().http_session(timeout=limit) as http,
            http.get(f"{origin}/health", allow_redirects=False, ssl=tls or True) as response,
        ):
            body = await read_beginning(response, MAX_RESPONSE_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return ProbeAnswer(False, failure_reason(error))
    return ProbeAnswer(_is_health(body), f"HTTP {response.status}", response.status)


def _is_health(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() == HEALTH_FIELDS


async def probe_voice(origin: str, path: str, tls: ssl.SSLContext | None = None) -> ProbeAnswer:
    """Upgrade at a path of `DOOR_CLOSES` of a `ws(s)://host:port`, with no token; never raises."""
    options: dict[str, Any] = {
        "compression": None,
        "close_timeout": 1,
        "max_size": MAX_RESPONSE_BYTES,
    }
    if origin.startswith("wss:"):
        options["ssl"] = tls or way_out().tls()
    try:
        async with (
            asyncio.timeout(SECONDS),
            open_way(origin) as way,
            connect(origin + path, **options, proxy=None, sock=way) as socket,
        ):
            code, reason = await _read_close(socket)
    except InvalidStatus as refused:
        status = refused.response.status_code
        return ProbeAnswer(False, f"HTTP {status} instead of an upgrade", status)
    except (InvalidHandshake, InvalidURI, ProxyRefusal, TimeoutError, OSError) as error:
        return ProbeAnswer(False, failure_reason(error))
    return ProbeAnswer((code, reason) in DOOR_CLOSES[path], f"close {code} {reason}".rstrip(), 101)


async def _read_close(socket: ClientConnection) -> tuple[int, str]:
    """Read up to the close frame; code 1006 where the connection ended without one."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def failure_reason(error: Exception) -> str:
    """Why a request had no answer, in few words."""
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
            return str(error) if isinstance(error, ProxyRefusal) else type(error).__name__

"""Whether the relay's public address leads to the relay: health, and both doors by WebSocket."""

import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from relay.check.finding import Finding, fail, ok, skip
from relay.check.probe import PATHS, Answer, ask_health, ask_voice

_NO_UPSTREAM: Final = {
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_CONF: Final = "nginx/relay.conf shows how"

Started = Callable[[], Awaitable[bool]]
"""Whether a relay runs on this machine, so that there is something to reach."""


async def proxied_health(url: str, started: Started, tls: ssl.SSLContext | None = None) -> Finding:
    """Ask for the relay's health through the proxy."""
    answer = await ask_health(url.rstrip("/"), tls)
    if answer.is_relay:
        return ok(f"{url}/health is the relay's")
    mend = f"route /health to the HTTP listener; {_CONF}"
    return await _missed(f"{url}/health", answer, mend, started)


async def proxied_voice(url: str, started: Started, tls: ssl.SSLContext | None = None) -> Finding:
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


async def _missed(address: str, answer: Answer, mend: str, started: Started) -> Finding:
    if answer.status in _NO_UPSTREAM:
        if not await started():
            return skip(f"{address} answers {answer.said}, but no relay runs here yet")
        mend = f"point the proxy at the relay's ports; {_CONF}"
    elif answer.status is None:
        mend = "is the proxy running, and PUBLIC_URL its address?"
    return fail(f"{address} is not the relay's: {answer.said}", mend)

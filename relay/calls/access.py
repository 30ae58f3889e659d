"""Decides who may call at a door without a Realtime socket, by token or as a stranger."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from relay.admission.addresses import AddressLimits
from relay.auth.tokens import find_token
from relay.interfaces import ConnectRequest
from relay.proxies import TrustedProxies
from relay.realtime.endings import (
    AUTH_UNAVAILABLE,
    INTERNAL_ERROR,
    UNAUTHORIZED,
    Ending,
    SessionRefused,
)
from relay.realtime.grant import Caller

Strangers = Literal["refused", "local", "admitted"]
"""Callers without a token: refused; admitted from this machine alone; admitted."""

STRANGER_SECONDS: Final = 86_400.0
"""How long a caller without a token of their own may stay; sessions are ended sooner."""
STRANGER: Final = "anonymous:"
"""What the names of callers without a token begin with."""
SERVICE: Final = "service"
"""The name of a caller who shows Supabase's service key."""


@dataclass(frozen=True, slots=True)
class DoorAccess:
    """Who may call at one door.

    `verify` gives a token's caller, `unix` the time in Unix seconds, `monotonic` that of a clock
    that is never set. `strangers` says what becomes of callers without a token. A bearer of the
    `service_key` is an admin. `refused` is given the cause of each refusal.
    """

    door: str
    verify: Callable[[str], Awaitable[Caller]]
    unix: Callable[[], float]
    monotonic: Callable[[], float]
    strangers: Strangers = "refused"
    addresses: AddressLimits = field(default_factory=AddressLimits)
    service_key: str = field(default="", repr=False)
    refused: Callable[[str], None] = lambda _: None

    async def caller(self, request: ConnectRequest) -> Caller:
        """The caller, by the token that is shown, else a new stranger; raises `SessionRefused`."""
        try:
            return await self._caller(request)
        except SessionRefused as refusal:
            self.refused(str(refusal.__cause__ or refusal.ending.name))
            if refusal.ending is not AUTH_UNAVAILABLE:
                self.addresses.failed(request.client_ip, self.monotonic())
            raise

    async def _caller(self, request: ConnectRequest) -> Caller:
        token, until = find_token(request), self.unix() + STRANGER_SECONDS
        if token is not None:
            return await self._known(token, until)
        if not self.admits_stranger(request):
            raise SessionRefused(UNAUTHORIZED)
        name = f"{STRANGER}{self.door}:{secrets.token_urlsafe(12)}"
        return Caller(sub=name, role="learner", expires_at=until)

    async def _known(self, token: str, until: float) -> Caller:
        key = self.service_key
        if key and hmac.compare_digest(token.encode(errors="surrogateescape"), key.encode()):
            return Caller(sub=SERVICE, role="admin", expires_at=until)
        caller = await self.verify(token)
        if caller.session is not None:  # a client secret's settings have no place here
            raise SessionRefused(UNAUTHORIZED)
        return caller

    def admits_stranger(self, request: ConnectRequest) -> bool:
        """Whether a caller without a token may come in with this request."""
        if self.strangers == "local":
            return is_loopback(request.client_ip) and _is_local_origin(request.origin)
        return self.strangers == "admitted"

    def is_local(self, request: ConnectRequest) -> bool:
        """Whether it comes from this machine and asks for it by name, also behind a proxy."""
        host = urlsplit(f"//{request.headers.get(hdrs.HOST, '')}").hostname or ""
        return is_loopback(request.client_ip) and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local_origin(origin: str | None) -> bool:
    return origin is None or is_loopback(urlsplit(origin).hostname or "")


def connect_request(
    request: web.BaseRequest, proxies: TrustedProxies, token: str | None = None
) -> ConnectRequest:
    """What a request says about its caller; `token` is one that came by another way."""
    headers: Mapping[str, str] = request.headers
    if token:
        headers = {hdrs.AUTHORIZATION: f"Bearer {token}", hdrs.HOST: request.host}
    offered = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    names = (name.strip() for value in offered for name in value.split(","))
    return ConnectRequest(
        path=request.rel_url.raw_path,
        query=tuple(request.query.items()),
        headers=headers,
        subprotocols=tuple(name for name in names if name),
        origin=request.headers.get(hdrs.ORIGIN),
        client_ip=proxies.client_ip(
            request.remote or "",
            request.headers.getall("X-Forwarded-For", []),
            request.headers.get("X-Real-IP"),
        ),
    )


def http_status(ending: Ending) -> int:
    """The status with which an HTTP door refuses whom a WebSocket door would end like this."""
    if ending is INTERNAL_ERROR:
        return 500
    return _STATUS.get(ending.code, 503)


_STATUS: Final = {3000: 401, 4000: 401, 4001: 401, 4003: 403, 4008: 429, 4029: 429}

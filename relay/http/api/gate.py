"""Who asks: the token of a request becomes a caller, who may not ask too often."""

import hmac
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import hdrs, web

from relay.auth.tokens import find_bearer
from relay.http.api.faults import UNAUTHORIZED, UNAVAILABLE, Refused
from relay.http.api.rates import Rates
from relay.realtime import endings
from relay.realtime.endings import Refused as CallerRefused
from relay.realtime.grant import Caller

SERVICE: Final = Caller(sub="service", role="admin", expires_at=math.inf)
"""Who holds the project's service key."""


@dataclass(frozen=True, slots=True)
class Gate:
    """`verify` says whose a token is (`relay.access.tokens.Verifier`)."""

    verify: Callable[[str], Awaitable[Caller]]
    rates: Rates
    service_key: str = field(default="", repr=False)

    async def enter(self, request: web.Request) -> Caller:
        """The caller; raises `Refused`."""
        token = find_bearer(
            request.headers.get(hdrs.AUTHORIZATION, ""), offered(request), request.query.get
        )
        if token is None:
            raise Refused(UNAUTHORIZED)
        caller = await self._caller(token)
        self.rates.ask(caller.sub)
        return caller

    async def _caller(self, token: str) -> Caller:
        if self.service_key and hmac.compare_digest(token.encode(), self.service_key.encode()):
            return SERVICE
        try:
            return await self.verify(token)
        except CallerRefused as refused:
            whose = refused.ending == endings.UNAUTHORIZED
            raise Refused(UNAUTHORIZED if whose else UNAVAILABLE) from refused


def offered(request: web.Request) -> list[str]:
    """The subprotocols that a WebSocket request offers."""
    values = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [word.strip() for value in values for word in value.split(",") if word.strip()]

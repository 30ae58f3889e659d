"""Who calls a service, with which agent's grant, and how often they may."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from relay.admission.addresses import ConnectRates, network_of
from relay.agents.agent import AgentDefaults, SessionRequest, grant_for
from relay.calls.access import STRANGER, DoorAccess, connect_request
from relay.calls.http import CallRefused
from relay.proxies import TrustedProxies
from relay.realtime.endings import TOO_MANY_REQUESTS, SessionRefused
from relay.realtime.grant import Caller, Grant

CALLS_PER_CONNECT: Final = 5
"""Calls for each connect that an address has in a minute: a client makes several on one."""
AT_ONCE: Final = 64
"""Calls of one caller, or of an address' strangers, that may be under way."""
ALL_AT_ONCE: Final = 256
"""Calls of all callers that may be under way: each holds its audio."""


@dataclass(frozen=True, slots=True)
class ServiceCaller:
    """A caller, and the agent that is asked for; `name` is what limits count."""

    caller: Caller
    name: str
    agent_id: str | None

    @property
    def is_known(self) -> bool:
        """Whether a token says who it is; a stranger at an open door is a new one each time."""
        return not self.caller.sub.startswith(STRANGER)


class Callers:
    """Admits callers; each, and the strangers of an address, make `per_minute` calls (0: any)."""

    def __init__(
        self,
        access: DoorAccess,
        proxies: TrustedProxies,
        defaults: AgentDefaults,
        per_minute: int,
    ) -> None:
        self._access = access
        self._proxies = proxies
        self._defaults = defaults
        self._rates = ConnectRates(per_minute)
        self._at_once: Counter[str] = Counter()

    async def identify(self, request: web.BaseRequest) -> ServiceCaller:
        """Return who calls, and count the call; raises `SessionRefused`."""
        asked = connect_request(request, self._proxies)
        caller = await self._access.caller(asked)
        is_stranger = caller.sub.startswith(STRANGER)
        name = network_of(asked.client_ip) if is_stranger else caller.sub
        if not self._rates.take(name, self._access.monotonic()):
            raise SessionRefused(TOO_MANY_REQUESTS)
        return ServiceCaller(caller, name, asked.parameter("agent_id"))

    @contextmanager
    def place(self, who: ServiceCaller) -> Iterator[None]:
        """Hold a place for a call while it lasts; raises `SessionRefused` or `CallRefused`."""
        if self._at_once.total() >= ALL_AT_ONCE:
            raise CallRefused(503, "full", "The server has no room. Try again in a moment.")
        if self._at_once[who.name] >= AT_ONCE:
            raise SessionRefused(TOO_MANY_REQUESTS)
        self._at_once[who.name] += 1
        try:
            yield
        finally:
            self._at_once[who.name] -= 1
            if not self._at_once[who.name]:
                del self._at_once[who.name]

    async def grant(self, who: ServiceCaller, model: str | None) -> Grant:
        """Return what their agent grants them; raises `SessionRefused`."""
        asked = SessionRequest(agent_id=who.agent_id, model=model)
        return await grant_for(who.caller, asked, self._defaults)

"""Who sits in a session, and what every session of a process shares."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from relay.interfaces import Call, Engine, Peer
from relay.metrics import Metrics
from relay.realtime.billing.budget import Purse
from relay.realtime.billing.pricing import Prices
from relay.realtime.dialects.client import View
from relay.realtime.grant import Caller, Grant
from relay.realtime.server_tools import ToolCall


class Tools(Protocol):
    """Where one session's server-side tools are carried out."""

    async def run(self, call: ToolCall) -> str:
        """What the model is told, a failure included."""


MakeTools = Callable[[Grant, str, str], Tools | None]
"""Given the grant, the session's and the conversation's id; None where the grant has no tools."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every session of one process shares. `clock` gives Unix seconds that never go back.

    `prices` is None for a voice that costs nothing, whatever model it is asked for.
    """

    engine: Engine
    metrics: Metrics
    clock: Callable[[], float]
    verify: Callable[[str], Awaitable[Caller]]
    prices: Prices | None = field(default_factory=Prices)
    tools: MakeTools = lambda *_: None


@dataclass(frozen=True, slots=True)
class Seats:
    """Who sits in this session and how they are spoken to; `pace_ms` is None for all at once."""

    client: Peer
    view: View
    call: Call
    caller: Caller
    door: str = ""
    pace_ms: int | None = None
    tools: Tools | None = None
    purse: Purse | None = None

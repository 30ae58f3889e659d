"""Deliberate faults of a realtime server; `docs/simulator.md` lists them.

They alter what a session sends on its way to the client, unknown to the session itself.
"""

from relay.simulator.faults.http import HttpCut, HttpFailed, HttpLate, HttpSlow, HttpStalled
from relay.simulator.faults.plan import Faults
from relay.simulator.faults.responses import (
    RateLimitsMissing,
    ResponseCut,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInterleaved,
    ResponseNotCreated,
    TranscriptionBeforeItem,
    TranscriptionDoubled,
    TranscriptionEmpty,
    TranscriptionFailed,
    TranscriptionInterim,
    TranscriptionLate,
    TranscriptionOutOfOrder,
)
from relay.simulator.faults.sessions import (
    Errors,
    EventDoubled,
    EventLate,
    EventMissing,
    HandshakeFault,
    InBandRefusal,
    KeyOrder,
    LargeItem,
    SessionCut,
    SessionExpired,
    SessionStalled,
    SlowReader,
    UnknownEvents,
    UnknownFields,
)
from relay.simulator.faults.tracking import Condition

__all__ = [
    "Condition",
    "Errors",
    "EventDoubled",
    "EventLate",
    "EventMissing",
    "Faults",
    "HandshakeFault",
    "HttpCut",
    "HttpFailed",
    "HttpLate",
    "HttpSlow",
    "HttpStalled",
    "InBandRefusal",
    "KeyOrder",
    "LargeItem",
    "RateLimitsMissing",
    "ResponseCut",
    "ResponseFailed",
    "ResponseIncomplete",
    "ResponseInterleaved",
    "ResponseNotCreated",
    "SessionCut",
    "SessionExpired",
    "SessionStalled",
    "SlowReader",
    "TranscriptionBeforeItem",
    "TranscriptionDoubled",
    "TranscriptionEmpty",
    "TranscriptionFailed",
    "TranscriptionInterim",
    "TranscriptionLate",
    "TranscriptionOutOfOrder",
    "UnknownEvents",
    "UnknownFields",
]

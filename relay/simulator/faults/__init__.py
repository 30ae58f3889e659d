"""What can go wrong with a realtime server, on purpose: `docs/simulator.md` says how to ask for it.

Faults alter what a session does on its way to the client; the session itself knows nothing of them.
"""

from relay.simulator.faults.answers import (
    RateLimitsMissing,
    ResponseCut,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInterleaved,
    ResponseNotCreated,
)
from relay.simulator.faults.noise import (
    Errors,
    EventDoubled,
    EventLate,
    EventMissing,
    KeyOrder,
    LargeItem,
    UnknownEvents,
    UnknownFields,
)
from relay.simulator.faults.plan import Faults
from relay.simulator.faults.sessions import (
    Handshake,
    InBandRefusal,
    SessionCut,
    SessionExpired,
    SessionStalled,
    SlowReader,
)
from relay.simulator.faults.tracking import Only
from relay.simulator.faults.transcriptions import (
    TranscriptionBeforeItem,
    TranscriptionDoubled,
    TranscriptionEmpty,
    TranscriptionFailed,
    TranscriptionInterim,
    TranscriptionLate,
    TranscriptionOutOfOrder,
)

__all__ = [
    "Errors",
    "EventDoubled",
    "EventLate",
    "EventMissing",
    "Faults",
    "Handshake",
    "InBandRefusal",
    "KeyOrder",
    "LargeItem",
    "Only",
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

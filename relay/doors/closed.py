"""Refuses every WebSocket request: where the browser door, which takes any path, is not open."""

from relay.interfaces import Admission, ConnectRequest
from relay.realtime.dialects.client import ClientDialect, GaDialect
from relay.realtime.endings import UNKNOWN_PATH, SessionRefused
from relay.realtime.grant import Caller


class ClosedDoor:
    """A `Door` through which nobody comes in."""

    name = "closed"

    def matches(self, request: ConnectRequest) -> bool:
        """Accept any path, to say that it is none."""
        return True

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        """GA events."""
        return GaDialect()

    async def authenticate(self, request: ConnectRequest) -> Caller:
        """Raise `SessionRefused`."""
        raise SessionRefused(UNKNOWN_PATH)

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        """Raise `SessionRefused`."""
        raise SessionRefused(UNKNOWN_PATH)

"""Where a caller's token may stand, and which subprotocol is answered."""

from relay.auth.tokens import RELAY_SUBPROTOCOL, find_bearer, select_subprotocol
from relay.websocket.handshake import Handshake

__all__ = ["RELAY_SUBPROTOCOL", "find_token", "select_subprotocol"]


def find_token(handshake: Handshake) -> str | None:
    """The token, first place that has one: header, subprotocol, query."""
    authorization = handshake.headers.get("Authorization", "")
    return find_bearer(authorization, handshake.subprotocols, handshake.parameter)

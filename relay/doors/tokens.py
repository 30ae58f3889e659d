"""Where a caller's token may stand, and which subprotocol is answered."""

from typing import Final

from relay.wire.handshake import Handshake

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
RELAY_SUBPROTOCOL: Final = "relay.v1"
_BEARER: Final = "bearer "


def find_token(handshake: Handshake) -> str | None:
    """The token, first place that has one: header, subprotocol, query (OUTSIDE, "Token")."""
    header = handshake.headers.get("Authorization", "")
    if header[: len(_BEARER)].lower() == _BEARER and header[len(_BEARER) :].strip():
        return header[len(_BEARER) :].strip()
    for offered in handshake.subprotocols:
        if offered.startswith(KEY_SUBPROTOCOL) and len(offered) > len(KEY_SUBPROTOCOL):
            return offered[len(KEY_SUBPROTOCOL) :]
    return handshake.parameter("token") or handshake.parameter("access_token") or None


def select_subprotocol(offered: tuple[str, ...]) -> str | None:
    """`realtime` if offered, else `relay.v1`, else none; never the one that carries the token."""
    return next((name for name in ("realtime", RELAY_SUBPROTOCOL) if name in offered), None)

"""Where a token may stand in a request, whatever the request is made of."""

from collections.abc import Callable, Iterable
from typing import Final

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
RELAY_SUBPROTOCOL: Final = "relay.v1"
_BEARER: Final = "bearer "


def find_bearer(
    authorization: str, offered: Iterable[str], parameter: Callable[[str], str | None]
) -> str | None:
    """The token, first place that has one: header, subprotocol, query (OUTSIDE, "Token")."""
    if authorization[: len(_BEARER)].lower() == _BEARER and authorization[len(_BEARER) :].strip():
        return authorization[len(_BEARER) :].strip()
    for name in offered:
        if name.startswith(KEY_SUBPROTOCOL) and len(name) > len(KEY_SUBPROTOCOL):
            return name[len(KEY_SUBPROTOCOL) :]
    return parameter("token") or parameter("access_token") or None


def select_subprotocol(offered: Iterable[str]) -> str | None:
    """`realtime` if offered, else `relay.v1`, else none; never the one that carries the token."""
    there = set(offered)
    return next((name for name in ("realtime", RELAY_SUBPROTOCOL) if name in there), None)

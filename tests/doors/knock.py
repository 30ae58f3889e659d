"""A caller's upgrade request, as the doors get it."""

from multidict import CIMultiDict

from relay.wire.handshake import Handshake


def knock(
    path: str = "/v1/realtime",
    *,
    headers: dict[str, str] | None = None,
    protocols: tuple[str, ...] = (),
    **query: str,
) -> Handshake:
    """A handshake with these headers, offered subprotocols and query parameters."""
    return Handshake(
        path=path,
        query=tuple(query.items()),
        headers=CIMultiDict(headers or {}),
        subprotocols=protocols,
        origin=None,
        remote="127.0.0.1:50000",
    )

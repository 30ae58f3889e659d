"""A caller's upgrade request, as the doors get it."""

from multidict import CIMultiDict

from relay.websocket.handshake import Handshake


def knock(path: str = "/v1/realtime", **query: str) -> Handshake:
    """A handshake with these query parameters."""
    return knock_with({}, (), path, **query)


def knock_with(
    headers: dict[str, str],
    protocols: tuple[str, ...] = (),
    path: str = "/v1/realtime",
    **query: str,
) -> Handshake:
    """A handshake with these headers, offered subprotocols and query parameters."""
    return Handshake(
        path=path,
        query=tuple(query.items()),
        headers=CIMultiDict(headers),
        subprotocols=protocols,
        origin=None,
        remote="127.0.0.1:50000",
    )

"""Requests for a session, as the doors get them."""

from multidict import CIMultiDict

from relay.interfaces import Admission, ConnectRequest, Door


async def admitted(door: Door, request: ConnectRequest) -> Admission:
    """What the door says to this request, of its caller and then of what they ask for."""
    return await door.admit(request, await door.authenticate(request))


def asking(path: str = "/v1/realtime", **query: str) -> ConnectRequest:
    """A request with these query parameters."""
    return asking_with({}, (), path, **query)


def asking_with(
    headers: dict[str, str],
    subprotocols: tuple[str, ...] = (),
    path: str = "/v1/realtime",
    **query: str,
) -> ConnectRequest:
    """A request with these headers, offered subprotocols and query parameters."""
    return ConnectRequest(
        path=path,
        query=tuple(query.items()),
        headers=CIMultiDict(headers),
        subprotocols=subprotocols,
        client_ip="127.0.0.1",
    )

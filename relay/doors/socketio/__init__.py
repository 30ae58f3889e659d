"""Socket.IO door: the voice chat of an older system (S2), by events over polling or WebSocket."""

from relay.doors.socketio.door import SocketioDoor, SocketioOptions, SocketioServices

__all__ = ["SocketioDoor", "SocketioOptions", "SocketioServices"]

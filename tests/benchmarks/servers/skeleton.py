"""A picows relay without a single rule: what any relay on this wire costs at least.

`python -m tests.benchmarks.servers.skeleton PORT UPSTREAM_URL`
"""

import asyncio
import signal
import ssl
import sys

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)


class Side(WSListener):
    """One end of a session; what comes goes to the other end, once there is one."""

    def __init__(self) -> None:
        self.transport: WSTransport | None = None
        self.other: Side | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.disconnect()


class Front(Side):
    """The caller's end, which reaches for the engine."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._url = url
        self._tls = tls
        self._reaching: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        self._reaching = asyncio.get_running_loop().create_task(self._reach())

    async def _reach(self) -> None:
        back = Side()
        back.other = self
        await ws_connect(lambda: back, self._url, ssl_context=self._tls)
        self.other = back


async def main(port: int, url: str) -> None:
    """Serve until SIGTERM."""
    tls = ssl.create_default_context() if url.startswith("wss:") else None

    def front(request: WSUpgradeRequest) -> Front:
        return Front(url, tls)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await ws_create_server(front, "127.0.0.1", port, backlog=1024)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))

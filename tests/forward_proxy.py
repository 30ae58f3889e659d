"""An HTTP proxy on loopback, which leads any name to this machine: by CONNECT or whole requests."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from relay.egress import Proxy

LOGIN = ("ada", "p@ss:word-of-the-proxy")


@dataclass(slots=True)
class ForwardProxy:
    """A running proxy; `asked` has the first line of each request, `status` how it refuses."""

    status: int | None = None
    wants_login: bool = False
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def proxy(self) -> Proxy:
        """How to reach it."""
        return Proxy("127.0.0.1", self.port, *LOGIN)

    @property
    def url(self) -> str:
        """The same as a setting."""
        return f"http://ada:p%40ss%3Aword-of-the-proxy@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        self.asked.append(first)
        basic = f"basic {b64encode(':'.join(LOGIN).encode()).decode()}".lower()
        shown = [
            one.partition(":")[2].strip() for one in fields if one.lower().startswith("proxy-a")
        ]
        status = 407 if self.wants_login and [s.lower() for s in shown] != [basic] else self.status
        if status is not None:
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        method, target, _ = first.split(" ")
        there = target if method == "CONNECT" else target.split("/")[2]
        far_reader, far_writer = await asyncio.open_connection(
            "127.0.0.1", int(there.split(":")[-1])
        )
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 here\r\n\r\n")
        else:
            far_writer.write(head)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer))
                both.create_task(_pump(far_reader, writer))
        finally:
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def forward_proxy(**options: object) -> AsyncIterator[ForwardProxy]:
    """Run a proxy with these options of `ForwardProxy`."""
    proxy = ForwardProxy(**options)  # type: ignore[arg-type]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await proxy.serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()

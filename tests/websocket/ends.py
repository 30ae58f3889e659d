"""Ends of a connection under test: a receiver that records, a raw socket that can misbehave."""

import asyncio
import base64
import contextlib
import hashlib
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from relay.interfaces import ConnectRequest, Frame
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.server import Listener, ListenOptions, listen

PATIENCE = 20.0
"""Seconds after which a test that waits for something has failed."""

QUICK = ConnectionOptions(max_message_bytes=64 * 1024, close_grace=0.5)
"""Longer than a busy machine takes to answer a close; few tests wait for an abort."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

Told = tuple[str, object] | tuple[str, object, object]


class Recorder:
    """A receiver that records what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self._changed = asyncio.Event()

    def frame(self, frame: Frame) -> None:
        self._note(("frame", bytes(frame)))

    def writable(self, ready: bool) -> None:
        self._note(("writable", ready))

    def closed(self, code: int, reason: str) -> None:
        self._note(("closed", code, reason))

    def _note(self, told: Told) -> None:
        self.told.append(told)
        self._changed.set()

    @property
    def frames(self) -> list[bytes]:
        return [told[1] for told in self.told if told[0] == "frame"]  # type: ignore[misc]

    async def until(self, enough: Callable[[Self], object]) -> None:
        """Wait for something to have been told."""
        async with asyncio.timeout(PATIENCE):
            while not enough(self):
                self._changed.clear()
                await self._changed.wait()

    async def ending(self) -> tuple[int, str]:
        """Wait for the one `closed`."""
        await self.until(lambda me: me.told and me.told[-1][0] == "closed")
        endings = [told[1:] for told in self.told if told[0] == "closed"]
        assert len(endings) == 1
        return endings[0]  # type: ignore[return-value]


class Stage:
    """The listeners of one test and the connections they accepted."""

    def __init__(self, complaints: list[dict[str, object]]) -> None:
        self.complaints = complaints
        self.arrivals: asyncio.Queue[tuple[WebSocketConnection, ConnectRequest]] = asyncio.Queue()
        self._listeners: list[Listener] = []

    async def listen(self, options: ListenOptions | None = None) -> Listener:
        options = options or ListenOptions(connection=QUICK)
        listener = await listen(self._arrived, options)
        self._listeners.append(listener)
        return listener

    def _arrived(self, connection: WebSocketConnection, request: ConnectRequest) -> None:
        request.let_in()  # what a server does once it knows who is calling
        self.arrivals.put_nowait((connection, request))

    async def arrival(self) -> WebSocketConnection:
        async with asyncio.timeout(PATIENCE):
            connection, _ = await self.arrivals.get()
        return connection

    async def raw_pair(self, **options: object) -> tuple["Raw", WebSocketConnection, Recorder]:
        """A raw client and the attached connection that serves it."""
        listener = await self.listen(ListenOptions(connection=replace(QUICK, **options)))  # type: ignore[arg-type]
        raw = await Raw.dial(listener.port)
        connection, recorder = await self.arrival(), Recorder()
        connection.attach(recorder)
        return raw, connection, recorder

    async def aclose(self) -> None:
        for listener in self._listeners:
            async with asyncio.timeout(PATIENCE):
                await listener.aclose()
            assert "connections=0" in repr(listener)


def fill(connection: WebSocketConnection, recorder: Recorder, size: int = 60_000) -> list[bytes]:
    """Send until the connection says that its buffer is full; returns what was sent.

    All is sent from one buffer, which is overwritten at once, as a read buffer is.
    """
    buffer, sent = bytearray(size), list[bytes]()
    while ("writable", False) not in recorder.told:
        sent.append(bytes([ord("a") + len(sent) % 26]) * size)
        buffer[:] = sent[-1]
        connection.send(memoryview(buffer))
        assert len(sent) * size < 1 << 26
    buffer[:] = b"!" * size
    return sent


def frame(
    kind: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """One frame as bytes, right or wrong."""
    size = len(payload)
    head = bytes([fin << 7 | rsv << 4 | kind])
    if size < 126:
        head += bytes([masked << 7 | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", masked << 7 | 126, size)
    else:
        head += struct.pack("!BQ", masked << 7 | 127, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


def upgrade(port: int = 80, target: str = "/", **changes: str | None) -> bytes:
    """An upgrade request; a changed header of None is left out."""
    headers: dict[str, str | None] = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode()


def accept(key: str) -> str:
    """The answer to a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # noqa: S324
    return base64.b64encode(digest).decode()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The kind and the payload of one unfragmented frame, unmasked."""
    first, second = await reader.readexactly(2)
    assert first & 0xF0 == 0x80
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    if not second & 0x80:
        return first & 0x0F, await reader.readexactly(size)
    key = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


class Raw:
    """One end of a TCP connection that reads frames and writes whatever a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def port(self) -> int:
        """The port of the other end."""
        return int(self.writer.get_extra_info("peername")[1])

    @classmethod
    async def connect(cls, port: int, receive_buffer: int | None = None) -> Self:
        """Open a socket; a small receive buffer makes the other end's fill soon."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        return cls(*await asyncio.open_connection(sock=sock, limit=receive_buffer or 1 << 16))

    @classmethod
    async def dial(cls, port: int, receive_buffer: int | None = None) -> Self:
        """Open a WebSocket."""
        raw = await cls.connect(port, receive_buffer)
        raw.write(upgrade(port))
        assert b" 101 " in await raw.read_head()
        return raw

    def write(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))

    async def read_head(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def read_rest(self) -> bytes:
        """All until the other end has closed its socket."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def read_frame(self) -> tuple[int, bytes]:
        """The kind and the payload of one unfragmented frame, unmasked."""
        async with asyncio.timeout(PATIENCE):
            return await read_frame(self.reader)

    async def read_close(self) -> tuple[int, str]:
        kind, payload = await self.read_frame()
        assert kind == CLOSE
        (code,) = struct.unpack_from("!H", payload)
        return code, payload[2:].decode()

    async def round_trip(self) -> None:
        """Everything that was written before has been seen by the other end."""
        token = os.urandom(8)
        self.write(frame(PING, token))
        while await self.read_frame() != (PONG, token):
            pass

    def reset(self) -> None:
        """Vanish with an RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang_up(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):  # it may have been reset
            await self.writer.wait_closed()

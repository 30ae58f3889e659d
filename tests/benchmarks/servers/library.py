"""A relay on the `websockets` library, which reads events as its second argument says.

`python -m tests.benchmarks.servers.library PORT UPSTREAM_URL msgspec|json`
"""

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

_LARGEST: Final = 16 * 1024 * 1024
_HEAD: Final = b'{"type":"'
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Typed(msgspec.Struct):
    type: str


_decode_type = msgspec.json.Decoder(_Typed).decode

Rewrite = Callable[[bytes], bytes]


def again_msgspec(message: bytes) -> bytes:
    """A client's event, decoded and written anew."""
    event: dict[str, Any] = _decode(message)
    return _encode(event) if event["type"] else message


def sniffed(message: bytes) -> bytes:
    """An engine's event as it came, its type read."""
    if message.startswith(_HEAD):
        kind = message[len(_HEAD) : message.find(b'"', len(_HEAD))].decode()
    else:
        kind = _decode_type(message).type
    return message if kind else b"{}"


def again_json(message: bytes) -> bytes:
    """An event through the standard library, as most relays do."""
    event: dict[str, Any] = json.loads(message)
    return json.dumps(event).encode() if event["type"] else message


WAYS: Final[dict[str, tuple[Rewrite, Rewrite]]] = {
    "msgspec": (again_msgspec, sniffed),
    "json": (again_json, again_json),
}

Connection = ServerConnection | ClientConnection


async def messages(source: Connection) -> AsyncIterator[bytes]:
    """What comes, as bytes."""
    while True:
        yield await source.recv(decode=False)


async def pump(source: Connection, target: Connection, rewrite: Rewrite) -> None:
    """One direction, until either end is closed."""
    try:
        async for message in messages(source):
            await target.send(rewrite(message), text=True)
    except ConnectionClosed:
        await target.close()


async def main(port: int, url: str, way: str) -> None:
    """Serve until SIGTERM."""
    tls = ssl.create_default_context() if url.startswith("wss:") else None
    up, down = WAYS[way]

    async def relay(client: ServerConnection) -> None:
        async with (
            connect(url, ssl=tls, compression=None, max_size=_LARGEST, proxy=None) as engine,
            asyncio.TaskGroup() as directions,
        ):
            directions.create_task(pump(client, engine, up))
            directions.create_task(pump(engine, client, down))

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(relay, "127.0.0.1", port, compression=None, max_size=_LARGEST, backlog=1024):
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))

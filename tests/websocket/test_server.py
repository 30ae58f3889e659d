"""Tests of the listener: connections handed over, clients rejected, nothing left behind."""

import asyncio
import gc
import socket
import weakref

import pytest
import websockets

from relay.interfaces import ConnectRequest
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.server import ListenOptions, listen
from tests.websocket.ends import (
    CLOSE,
    PATIENCE,
    QUICK,
    TEXT,
    Raw,
    Recorder,
    Stage,
    close_payload,
    frame,
    upgrade,
)


async def test_a_connection_is_handed_over_once_the_upgrade_is_sent(stage: Stage) -> None:
    listener = await stage.listen()
    async with websockets.connect(f"ws://127.0.0.1:{listener.port}/v1/realtime?model=m") as client:
        connection, handshake = await stage.arrivals.get()
        assert handshake.path == "/v1/realtime"
        assert handshake.client_ip == "127.0.0.1"
        assert connection.remote == "{}:{}".format(*client.local_address)
        assert repr(listener) == f"<Listener 127.0.0.1:{listener.port} connections=1>"


async def test_a_client_may_be_closed_right_after_the_upgrade(stage: Stage) -> None:
    def refuse(connection: WebSocketConnection, handshake: ConnectRequest) -> None:
        connection.send(b'{"type":"error"}')
        connection.close(4001, "Unauthorized")

    listener = await listen(refuse, ListenOptions(connection=QUICK))
    raw = await Raw.dial(listener.port)
    assert await raw.read_frame() == (TEXT, b'{"type":"error"}')
    assert await raw.read_close() == (4001, "Unauthorized")
    raw.write(frame(CLOSE, close_payload(4001)))
    assert await raw.read_rest() == b""
    await raw.hang_up()
    await listener.aclose()


async def test_a_fault_in_on_connect_ends_that_connection(stage: Stage) -> None:
    faults: list[Exception] = []

    def fail(connection: WebSocketConnection, handshake: ConnectRequest) -> None:
        raise ValueError("secret")

    options = ListenOptions(connection=ConnectionOptions(close_grace=0.05, on_fault=faults.append))
    listener = await listen(fail, options)
    raw = await Raw.dial(listener.port)
    assert await raw.read_close() == (1011, "Internal server error")
    assert await raw.read_rest() == b""
    assert len(faults) == 1
    await raw.hang_up()
    await listener.aclose()


async def test_stop_accepting_keeps_the_open_connections(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    (await stage.arrival()).attach(recorder := Recorder())
    listener.stop_accepting()
    listener.stop_accepting()
    with pytest.raises(ConnectionRefusedError):
        await Raw.connect(listener.port)
    raw.write(frame(TEXT, b"{}"))
    await recorder.until(lambda me: me.frames)
    assert repr(listener).endswith("connections=1 stopped>")
    await raw.hang_up()


async def test_closing_the_listener_aborts_every_connection(stage: Stage) -> None:
    listener = await stage.listen()
    talking, knocking = await Raw.dial(listener.port), await Raw.connect(listener.port)
    (await stage.arrival()).attach(recorder := Recorder())
    async with asyncio.timeout(PATIENCE):
        while "connections=2" not in repr(listener):
            await talking.round_trip()
    await listener.aclose()
    assert "connections=0" in repr(listener)
    assert recorder.told == [("closed", 1006, "")]
    assert await talking.read_rest() == b""
    assert await knocking.read_rest() == b""
    await talking.hang_up()
    await knocking.hang_up()


async def test_the_port_may_be_shared(stage: Stage) -> None:
    first = await stage.listen(ListenOptions(connection=QUICK, reuse_port=True))
    second = await stage.listen(ListenOptions(connection=QUICK, reuse_port=True, port=first.port))
    assert first.port == second.port
    with pytest.raises(OSError, match=r"(?i)address already in use"):
        await stage.listen(ListenOptions(port=first.port))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", ""])  # noqa: S104
async def test_it_listens_on_every_kind_of_address(stage: Stage, host: str) -> None:
    listener = await stage.listen(ListenOptions(host=host, connection=QUICK))
    name = "[::1]" if host == "::1" else "127.0.0.1"
    async with websockets.connect(f"ws://{name}:{listener.port}"):
        assert name.strip("[]") in (await stage.arrival()).remote


async def test_beyond_so_many_newcomers_the_oldest_is_dropped(stage: Stage) -> None:
    """Whoever is let in is none of them any more, and stays."""
    listener = await stage.listen(ListenOptions(connection=QUICK, newcomers=2))
    caller = await Raw.dial(listener.port)
    await stage.arrival()
    strangers = [await Raw.connect(listener.port) for _ in range(5)]
    for stranger in strangers[:3]:
        assert await stranger.read_rest() == b""
    late = strangers[4]
    late.write(upgrade())
    assert b" 101 " in await late.read_head()
    await stage.arrival()
    await caller.round_trip()
    for raw in (caller, *strangers):
        await raw.hang_up()


async def test_behind_a_proxy_a_flood_pushes_out_its_own(stage: Stage) -> None:
    """All of them come from the proxy's address; their own are in its headers."""
    held: list[WebSocketConnection] = []
    options = ListenOptions(connection=QUICK, newcomers=3, newcomer_seconds=60.0)
    listener = await listen(lambda connection, _: held.append(connection), options)

    async def knock(address: str) -> Raw:
        raw = await Raw.connect(listener.port)
        raw.write(upgrade(X_Forwarded_For=address))
        assert b" 101 " in await raw.read_head()
        return raw

    honest = await knock("198.51.100.7")
    flood = [await knock(f"2001:db8::{number}") for number in range(8)]
    for one in flood[:6]:
        assert await one.read_rest() == b""
    held[0].attach(recorder := Recorder())
    honest.write(frame(TEXT, b"I am still here"))
    await recorder.until(lambda me: me.frames == [b"I am still here"])
    for raw in (honest, *flood):
        await raw.hang_up()
    await listener.aclose()


async def test_many_callers_who_come_back_at_once_are_all_let_in(stage: Stage) -> None:
    """Nobody is dropped for another who came an instant later: they wait in the kernel's queue."""
    listener = await stage.listen(ListenOptions(connection=QUICK, newcomers=20))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        dialling = [group.create_task(Raw.dial(listener.port)) for _ in range(100)]
    for dialled in dialling:
        await dialled.result().hang_up()
    assert stage.arrivals.qsize() == 100


async def test_a_newcomer_is_dropped_when_its_time_is_up(stage: Stage) -> None:
    """Whether it says nothing, dripped headers, or shows no valid token after the upgrade."""
    held: list[WebSocketConnection] = []
    options = ListenOptions(connection=QUICK, newcomer_seconds=0.1)
    listener = await listen(lambda connection, _: held.append(connection), options)
    silent, dripping = await Raw.connect(listener.port), await Raw.connect(listener.port)
    upgraded = await Raw.dial(listener.port)
    dripping.write(upgrade()[:40])
    for raw in (silent, dripping, upgraded):
        assert await raw.read_rest() == b""
        await raw.hang_up()
    assert len(held) == 1
    await listener.aclose()


async def test_who_was_let_in_has_no_such_deadline(stage: Stage) -> None:
    listener = await stage.listen(ListenOptions(connection=QUICK, newcomer_seconds=0.1))
    caller = await Raw.dial(listener.port)
    await stage.arrival()
    stranger = await Raw.connect(listener.port)
    assert await stranger.read_rest() == b"", "later than the caller would have been"
    await caller.round_trip()
    await caller.hang_up()
    await stranger.hang_up()


async def test_tls(stage: Stage, server_tls, client_tls) -> None:
    listener = await stage.listen(ListenOptions(connection=QUICK, ssl_context=server_tls))
    url = f"wss://127.0.0.1:{listener.port}"
    async with websockets.connect(url, ssl=client_tls) as client:
        connection, recorder = await stage.arrival(), Recorder()
        connection.attach(recorder)
        await client.send("x" * 60_000)
        await recorder.until(lambda me: me.frames)
        connection.send(b"y" * 60_000)
        assert len(await client.recv()) == 60_000
        connection.close(4010, "Session time limit")
        await client.wait_closed()
        assert client.close_code == 4010
    assert await recorder.ending() == (4010, "Session time limit")

    plain = await Raw.connect(listener.port)
    plain.write(b"GET / HTTP/1.1\r\n\r\n")
    await plain.read_rest()
    await plain.hang_up()


async def leave_properly(raw: Raw, connection: WebSocketConnection) -> None:
    raw.write(frame(CLOSE, close_payload(1000)))


async def vanish(raw: Raw, connection: WebSocketConnection) -> None:
    raw.reset()


async def hang_up(raw: Raw, connection: WebSocketConnection) -> None:
    await raw.hang_up()


async def be_closed(raw: Raw, connection: WebSocketConnection) -> None:
    connection.close(4010, "Session time limit")


async def speak_garbage(raw: Raw, connection: WebSocketConnection) -> None:
    raw.write(b"\xff" * 1000)


async def be_dropped(raw: Raw, connection: WebSocketConnection) -> None:
    connection.close(1006)


async def close_from_both_sides(raw: Raw, connection: WebSocketConnection) -> None:
    raw.write(frame(CLOSE, close_payload(1000)))
    connection.close(4010)


async def vanish_within_a_message(raw: Raw, connection: WebSocketConnection) -> None:
    raw.write(frame(TEXT, b"x" * 1000, fin=False), frame(0, b"x" * 1000)[:500])
    raw.reset()


WAYS = [
    leave_properly,
    vanish,
    hang_up,
    be_closed,
    speak_garbage,
    be_dropped,
    close_from_both_sides,
    vanish_within_a_message,
]


async def test_an_ended_connection_leaves_nothing_behind(stage: Stage) -> None:
    """S3-64: no socket, task, timer or connection is left, however it ended."""
    listener = await stage.listen()
    tasks = asyncio.all_tasks()
    connections = []
    for round_ in range(5 * len(WAYS)):
        raw = await Raw.dial(listener.port)
        connection = await stage.arrival()
        connections.append(weakref.ref(connection))
        connection.attach(recorder := Recorder())
        await WAYS[round_ % len(WAYS)](raw, connection)
        await recorder.ending()
        await raw.hang_up()
        del connection
    assert "connections=0" in repr(listener)
    assert asyncio.all_tasks() == tasks
    gc.collect()
    assert [ref() for ref in connections if ref() is not None] == []
    assert open_sockets_to(listener.port) == 0


async def test_a_lost_connection_cancels_its_close_timer(stage: Stage) -> None:
    listener = await stage.listen(ListenOptions(connection=ConnectionOptions(close_grace=3600)))
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()
    connection.attach(recorder := Recorder())
    raw.write(frame(CLOSE, close_payload(1000)))
    await recorder.ending()
    await raw.hang_up()
    left = weakref.ref(connection)
    del connection
    gc.collect()
    assert left() is None


def open_sockets_to(port: int) -> int:
    """How many of this process's TCP connections touch this port."""
    count = 0
    for number in range(3, 512):
        try:
            with socket.socket(fileno=socket.dup(number)) as sock:
                names = (sock.getsockname(), sock.getpeername())
        except OSError:
            continue
        count += any(isinstance(name, tuple) and name[1] == port for name in names)
    return count

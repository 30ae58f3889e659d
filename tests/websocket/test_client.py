"""Tests of opening connections: the request, the connection, and every failure."""

import asyncio
import contextlib
import gc
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import websockets

from relay.websocket.client import (
    UPSTREAM_MESSAGE_BYTES,
    ConnectError,
    ConnectOptions,
    ConnectStage,
    connect,
)
from tests.websocket.ends import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE,
    PING,
    PONG,
    QUICK,
    TEXT,
    Raw,
    Recorder,
    Stage,
    accept,
    close_payload,
    frame,
)

KEY = "sk-do-not-tell"
HEADERS = [("Authorization", f"Bearer {KEY}"), ("OpenAI-Safety-Identifier", "abc")]
SOON = ConnectOptions(timeout=0.5, connection=QUICK)
FAR = ConnectOptions(timeout=PATIENCE, connection=QUICK)

Answer = Callable[[Raw, dict[str, str]], Awaitable[None]]


@asynccontextmanager
async def upstream(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads one request and answers as it is told; gives its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = Raw(reader, writer)
        try:
            lines = (await raw.read_head()).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            await answer(raw, {"": lines[0], **headers})
            await raw.read_rest()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            await raw.hang_up()
            done.set()

    done = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/v1/realtime?model=m"
    finally:
        server.close()
    async with asyncio.timeout(PATIENCE):
        await done.wait()
        await server.wait_closed()


def switching(headers: dict[str, str], **changes: str) -> bytes:
    """A good answer, or one that is changed."""
    lines = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept(headers["Sec-WebSocket-Key"]),
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode()


async def test_the_upgrade_request_has_no_more_than_it_needs(stage: Stage) -> None:
    seen: dict[str, str] = {}

    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        seen.update(headers)
        raw.write(switching(headers))

    async with upstream(answer) as url:
        connection = await connect(url, HEADERS, FAR)
        connection.close(1000)
    del seen["Sec-WebSocket-Key"]
    assert seen == {
        "": "GET /v1/realtime?model=m HTTP/1.1",
        "Host": url.split("/")[2],
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Authorization": f"Bearer {KEY}",
        "OpenAI-Safety-Identifier": "abc",
    }


async def test_the_first_event_may_come_with_the_upgrade_response(stage: Stage) -> None:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(
            switching(headers),
            frame(TEXT, b'{"type":"session.created"}', masked=False),
            frame(CLOSE, close_payload(3000, b"no"), masked=False),
        )

    async with upstream(answer) as url:
        connection = await connect(url, (), FAR)
        connection.attach(recorder := Recorder())
        assert await recorder.ending() == (3000, "no")
        assert recorder.frames == [b'{"type":"session.created"}']


@pytest.mark.parametrize(
    "changes",
    [
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "UPGRADE , Keep-Alive", "Upgrade": "WebSocket"},
        {"Connection": "close,\tupgrade", "Upgrade": "h2c, WEBSOCKET"},
        {"Connection": "keep-alive\r\nconnection: Upgrade"},
        {"Set-Cookie": "a=b\r\nSet-Cookie: c=d", "Content-Length": "0"},
        {f"X-Trace-{number}": "y" * 200 for number in range(200)},
    ],
    ids=[
        "keep-alive first",
        "other case",
        "other words",
        "two lines",
        "cookies",
        "40 kB of headers",
    ],
)
async def test_an_upgrade_may_be_answered_in_other_words(
    stage: Stage, changes: dict[str, str]
) -> None:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        said = switching(headers, **changes)
        raw.write(said[:70])  # within a header
        await raw.writer.drain()
        raw.write(said[70:], frame(TEXT, b"{}", masked=False))
        raw.write(frame(CLOSE, close_payload(1001), masked=False))

    async with upstream(answer) as url:
        connection = await connect(url, (), FAR)
        connection.attach(recorder := Recorder())
        assert await recorder.ending() == (1001, "")
        assert recorder.frames == [b"{}"]


@pytest.mark.parametrize(
    "changes",
    [{"Connection": "keep-alive"}, {"Upgrade": "websockets"}, {"X-Trace": "y" * 70_000}],
    ids=["no upgrade", "another protocol", "too long"],
)
async def test_an_answer_that_is_no_upgrade_or_has_no_end_is_none(
    stage: Stage, changes: dict[str, str]
) -> None:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(switching(headers, **changes))

    async with upstream(answer) as url:
        with pytest.raises(ConnectError) as failed:
            await connect(url, (), FAR)
    assert failed.value.kind == "network"


async def test_json_in_binary_messages_is_read_like_text(stage: Stage) -> None:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(switching(headers), frame(BINARY, b'{"a":1}', masked=False))
        raw.write(frame(BINARY, b' {"b', fin=False, masked=False))
        raw.write(frame(CONTINUATION, b'":"\xc3\xa9"}', masked=False))
        raw.write(frame(CLOSE, close_payload(1001), masked=False))

    async with upstream(answer) as url:
        connection = await connect(url, (), FAR)
        connection.attach(recorder := Recorder())
        assert await recorder.ending() == (1001, "")
        assert recorder.frames == [b'{"a":1}', ' {"b":"é"}'.encode()]


async def test_frames_are_masked_and_pings_answered(stage: Stage) -> None:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(switching(headers), frame(PING, b"x", masked=False))
        first, second = await raw.reader.readexactly(2)
        assert (first, second) == (0x80 | PONG, 0x80 | 1)
        await raw.reader.readexactly(5)
        assert await raw.read_frame() == (TEXT, "grüße".encode())
        raw.write(frame(CLOSE, close_payload(1001), masked=False))
        assert await raw.read_close() == (1001, "")

    async with upstream(answer) as url:
        connection = await connect(url, (), FAR)
        connection.attach(recorder := Recorder())
        connection.send("grüße".encode())
        assert await recorder.ending() == (1001, "")


@pytest.mark.parametrize(
    ("pieces", "ending"),
    [
        ([frame(TEXT, b"{}", masked=True)], 1002),
        ([frame(TEXT, b"\xff", masked=False)], 1007),
        ([frame(TEXT, b"x" * (QUICK.max_message_bytes + 1), masked=False)], 1009),
        ([frame(BINARY, b"x", masked=False)], 1003),
        ([frame(BINARY, b"{\xff", masked=False)], 1003),
    ],
    ids=["masked", "bad UTF-8", "too much", "binary", "binary that is no text"],
)
async def test_an_upstream_that_breaks_the_protocol_is_closed(
    stage: Stage, pieces: list[bytes], ending: int
) -> None:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(switching(headers), *pieces)
        assert await raw.read_close() == (ending, "")

    async with upstream(answer) as url:
        connection = await connect(url, (), FAR)
        connection.attach(recorder := Recorder())
        assert await recorder.ending() == (ending, "")
    # picows keeps the error in a future, which would complain that nobody ever asked.
    del connection
    gc.collect()
    assert stage.complaints == []


async def test_a_message_of_sixteen_mebibytes_is_received(stage: Stage) -> None:
    size = UPSTREAM_MESSAGE_BYTES

    async def serve(connection: websockets.ServerConnection) -> None:
        await connection.send("x" * size)
        await connection.wait_closed()

    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        (listening,) = server.sockets
        connection = await connect(f"ws://127.0.0.1:{listening.getsockname()[1]}")
        connection.attach(recorder := Recorder())
        await recorder.until(lambda me: me.frames)
        assert len(recorder.frames[0]) == size
        connection.close(1000)
        assert await recorder.ending() == (1000, "")


async def echo(connection: websockets.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_tls(stage: Stage, server_tls, client_tls) -> None:
    async with websockets.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        (listening,) = server.sockets
        url = f"wss://127.0.0.1:{listening.getsockname()[1]}"
        connection = await connect(url, (), replace(FAR, ssl_context=client_tls))
        connection.attach(recorder := Recorder())
        connection.send(b"x" * 60_000)
        await recorder.until(lambda me: me.frames == [b"x" * 60_000])
        connection.close(1000)
        assert await recorder.ending() == (1000, "")


async def test_an_untrusted_certificate_is_refused(server_tls) -> None:
    async with websockets.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        (listening,) = server.sockets
        with pytest.raises(ConnectError, match="certificate"):
            await connect(f"wss://127.0.0.1:{listening.getsockname()[1]}", HEADERS, FAR)


# Failing.


def answering(text: bytes) -> Answer:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(text)
        raw.writer.write_eof()

    return answer


def changing(**changes: str) -> Answer:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(switching(headers, **changes))

    return answer


ECHOED_KEY = f'{{"error":"bad key {KEY}"}}'.encode()
FAILURES: dict[str, tuple[Answer, str, int | None]] = {
    "401": (answering(b"HTTP/1.1 401 Unauthorized\r\n\r\n" + ECHOED_KEY), "http", 401),
    "429": (answering(b"HTTP/1.1 429 Too Many Requests\r\n\r\n"), "http", 429),
    "500": (answering(b"HTTP/1.1 500 Internal Server Error\r\n\r\n"), "http", 500),
    "a redirect is not followed": (
        answering(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n"),
        "http",
        302,
    ),
    "200": (answering(b"HTTP/1.1 200 OK\r\n\r\n"), "http", 200),
    "no HTTP": (answering(b"220 mail.example ESMTP\r\n\r\n"), "network", None),
    "a status that is none": (answering(b"HTTP/1.1 999 What\r\n\r\n"), "network", None),
    "endless headers": (answering(b"HTTP/1.1 101 OK\r\n" + b"x: y\r\n" * 9000), "network", None),
    "nothing": (answering(b""), "network", None),
    "half an answer": (answering(b"HTTP/1.1 101 Swi"), "network", None),
    "another's key": (changing(Sec_WebSocket_Accept=accept("x")), "network", None),
    "no upgrade": (changing(Upgrade="h2c"), "network", None),
    "a body": (changing(Content_Length="3"), "network", None),
}


@pytest.mark.parametrize(("answer", "kind", "status"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_failed_upgrade_is_told_by_kind_and_status(
    stage: Stage, answer: Answer, kind: str, status: int | None
) -> None:
    async with upstream(answer) as url:
        with pytest.raises(ConnectError) as failure:
            await connect(f"{url}&key={KEY}", HEADERS, FAR)
    error = failure.value
    assert (error.kind, error.status) == (kind, status)
    assert str(error) == (f"refused by HTTP {status}" if status else kind)
    assert KEY not in "".join(traceback.format_exception(error))


async def test_an_upstream_that_never_answers_times_out(stage: Stage) -> None:
    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        raw.write(b"HTTP/1.1 101 ")

    async with upstream(answer) as url:
        with pytest.raises(ConnectError, match="timeout"):
            await connect(url, HEADERS, SOON)


async def test_a_port_where_nothing_listens_refuses(stage: Stage) -> None:
    listener = await stage.listen()
    listener.stop_accepting()
    with pytest.raises(ConnectError, match="refused") as failure:
        await connect(f"ws://127.0.0.1:{listener.port}", HEADERS, FAR)
    assert failure.value.stage == "connect"
    assert failure.value.reason == "nothing listens there"


async def test_a_name_without_an_address_is_told_from_a_port_without_a_server() -> None:
    with pytest.raises(ConnectError, match="dns") as failure:
        await connect("ws://nobody.invalid/", HEADERS, FAR)
    assert failure.value.stage == "dns"


async def test_a_server_that_speaks_no_tls_is_told_from_one_that_is_not_trusted() -> None:
    async with upstream(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        with pytest.raises(ConnectError) as failure:
            await connect(url.replace("ws://", "wss://"), HEADERS, SOON)
    assert failure.value.kind in ("tls", "timeout")
    assert failure.value.stage == "tls"


async def test_where_the_time_was_lost_is_told() -> None:
    silent = asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for scheme, stage_of_it in (("wss", "tls"), ("ws", "upgrade")):
            with pytest.raises(ConnectError, match="timeout") as failure:
                await connect(f"{scheme}://127.0.0.1:{port}/", HEADERS, SOON)
            assert failure.value.stage == stage_of_it
        silent.set()


async def test_the_seconds_of_each_stage_are_told_once_it_is_open(stage: Stage) -> None:
    measured: list[Mapping[ConnectStage, float]] = []
    listener = await stage.listen()
    options = replace(FAR, measured=measured.append)
    connection = await connect(f"ws://127.0.0.1:{listener.port}/", HEADERS, options)
    (seconds,) = measured
    assert list(seconds) == ["dns", "connect", "upgrade"]
    assert all(0 <= took < PATIENCE for took in seconds.values())
    connection.close(1000, "")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:80",
        "http://127.0.0.1/",
        "ws://",
        "ws:///path",
        "ws://127.0.0.1:port/",
        "ws://127.0.0.1:70000/",
        "ws://[::1/",
        f"ws://user:{KEY}@127.0.0.1/",
        f"ws://{KEY}@127.0.0.1/",
    ],
)
async def test_an_invalid_address_is_refused_without_quoting_it(stage: Stage, url: str) -> None:
    with pytest.raises(ConnectError, match=r"^address$") as failure:
        await connect(url, HEADERS, FAR)
    assert KEY not in "".join(traceback.format_exception(failure.value))


async def test_connecting_cancelled_during_the_upgrade_leaves_no_socket(stage: Stage) -> None:
    arrived = asyncio.Event()

    async def answer(raw: Raw, headers: dict[str, str]) -> None:
        arrived.set()
        # The upgrade never comes; that the socket is closed is what ends this.
        assert await raw.read_rest() == b""

    async with upstream(answer) as url:
        connecting = asyncio.ensure_future(connect(url, HEADERS, FAR))
        await arrived.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


async def test_connecting_cancelled_at_any_point_leaves_no_socket() -> None:
    there: set[asyncio.StreamWriter] = set()
    all_accepted = asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.add(writer)
        with contextlib.suppress(ConnectionError):
            if await reader.read() == b"last":
                all_accepted.set()
            writer.close()
            await writer.wait_closed()
        there.discard(writer)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for turns in range(16):
            connecting = asyncio.ensure_future(connect(f"ws://127.0.0.1:{port}/"))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"last")
            writer.close()
            await writer.wait_closed()
            await all_accepted.wait()
            while there:
                await asyncio.sleep(0)

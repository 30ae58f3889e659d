"""A thousand sessions, ended in every way there is, leave nothing behind."""

import asyncio
import gc
import itertools
import json
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from relay.engines.cascade.engine import CascadeConnection
from relay.engines.cascade.machine import Machine
from relay.realtime.endings import IDLE, INTERNAL_ERROR
from tests.scenarios.stage import SPEECH, Line, Stage, stage, token

ROUNDS = 72  # of every way below: just over a thousand sessions
AT_ONCE = 24
NUMBERS = itertools.count()

Way = Callable[[Stage], Awaitable[None]]


async def client_says_goodbye(here: Stage) -> None:
    async with here.openai_client() as line:
        await line.until("session.created")


async def client_leaves_during_set_up(here: Stage) -> None:
    async with here.openai_client():
        pass


async def client_vanishes(here: Stage) -> None:
    async with here.s3_client() as line:
        await line.until("session.created")
        line.socket.transport.abort()


async def client_resets_in_mid_frame(here: Stage) -> None:
    async with here.openai_client() as line:
        await line.until("session.created")
        # A text frame that promises 1,000 bytes and brings three.
        line.socket.transport.write(b"\x81\xfe\x03\xe8\x00\x00\x00\x00abc")
        line.socket.transport.abort()


async def client_sends_garbage(here: Stage) -> None:
    async with here.openai_client() as line:
        await line.until("session.created")
        line.socket.transport.write(b"\xff" * 64)
        await _read_to_the_end(line)


async def client_sends_binary(here: Stage) -> None:
    async with here.s3_client() as line:
        await line.socket.send(b"\x00\x01\x02")
        await _read_to_the_end(line)


async def client_sends_too_much(here: Stage) -> None:
    async with here.openai_client() as line:
        await line.until("session.created")
        line.socket.transport.write(b"\x81\xff" + (1 << 40).to_bytes(8) + b"\x00\x00\x00\x00")
        await _read_to_the_end(line)


async def client_leaves_while_it_is_answered(here: Stage) -> None:
    async with here.openai_client() as line:
        await line.speak()
        await line.until("response.created")


async def client_leaves_while_it_speaks(here: Stage) -> None:
    async with here.s3_client() as line:
        await line.until("session.updated")
        await line.speak(SPEECH[:9600])
        line.socket.transport.abort()


def another() -> dict[str, str]:
    """The header of a caller of their own: one whose calls fail so often has to wait."""
    return {"Authorization": f"Bearer {token(f'ada{next(NUMBERS)}')}"}


async def engine_leaves(here: Stage) -> None:
    async with here.openai_client(additional_headers=another()) as line:
        created = await line.until("session.created")
        _upstream(here, created["session"]["id"]).close(1001, "maximum duration")
        assert await line.closed(within=20) == (1011, "OpenAI connection closed")


async def both_leave_at_once(here: Stage) -> None:
    async with here.openai_client(additional_headers=another()) as line:
        created = await line.until("session.created")
        _upstream(here, created["session"]["id"]).close(1001, "")
        await line.socket.close(1000)


async def the_relay_ends_it(here: Stage) -> None:
    async with here.openai_client("?relay=1") as line:
        name = (await line.until("relay.session"))["session_id"]
        session = here.app.directory.find(name)
        assert session is not None
        session.end(IDLE)
        session.end(INTERNAL_ERROR)
        assert await line.closed(within=20) == (4011, "Idle")


async def the_token_is_bad(here: Stage) -> None:
    async with here.s3_client(token="nonsense") as line:
        await _read_to_the_end(line)


async def the_upgrade_is_never_finished(here: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.app.listener.port)
    writer.write(b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n")
    await writer.drain()
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.close()
    del reader


WAYS: tuple[Way, ...] = (
    client_says_goodbye,
    client_leaves_during_set_up,
    client_vanishes,
    client_resets_in_mid_frame,
    client_sends_garbage,
    client_sends_binary,
    client_sends_too_much,
    client_leaves_while_it_is_answered,
    client_leaves_while_it_speaks,
    engine_leaves,
    both_leave_at_once,
    the_relay_ends_it,
    the_token_is_bad,
    the_upgrade_is_never_finished,
)


def _upstream(here: Stage, session_id: str) -> CascadeConnection:
    """The simulator's end of the session that was greeted with this id."""
    assert here.simulator is not None
    peers = here.simulator._engine._connections
    return next(peer for peer in peers if _session_of(peer) == session_id)


def _session_of(peer: CascadeConnection) -> str:
    machine = peer._machine
    assert isinstance(machine, Machine)
    return str(machine._settings["id"])


async def _read_to_the_end(line: Line) -> None:
    await line.closed(within=20)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
async def test_S3_13_S3_14_a_thousand_endings_leave_no_socket_task_or_count(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await _round(here, WAYS)  # whatever is opened once and kept is open now,
        await here.app.server._services.history.conversation("nobody's")  # the store's file too
        await here.emptied(within=20)
        async with asyncio.timeout(10):  # the store opens its files with the first words
            while not Stage._has_words(tmp_path / "relay.db"):
                await asyncio.sleep(0.01)
        tasks, descriptors = len(asyncio.all_tasks()), _descriptors()
        outcomes: Counter[str] = Counter()
        for _ in range(ROUNDS):
            outcomes += await _round(here, WAYS)
        await here.emptied(within=20)
        assert sum(outcomes.values()) == ROUNDS * len(WAYS) >= 1000
        assert outcomes["ok"] == sum(outcomes.values()), outcomes
        assert here.app.directory.active == 0
        assert len(here.app.server._tasks) == 0
        assert len(here.app.listener._connections) == 0
        async with asyncio.timeout(10):  # handlers of the simulator and pools end a little later
            while len(asyncio.all_tasks()) > tasks or _descriptors() > descriptors:
                await asyncio.sleep(0.01)
        gc.collect()
        metrics = (await here.get("/metrics"))[1]
        assert "relay_sessions_active 0.0" in metrics
        status, body = await here.get("/health")
        assert (status, json.loads(body)["activeConnections"]) == (200, 0)
        async with here.openai_client() as line:
            await line.until("session.created")


async def _round(here: Stage, ways: tuple[Way, ...]) -> Counter[str]:
    """All ways at once; what went wrong is named by its way."""
    outcomes: Counter[str] = Counter()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(way: Way) -> None:
        async with places:
            try:
                await way(here)
                outcomes["ok"] += 1
            except (ConnectionClosed, ConnectionError):
                outcomes["ok"] += 1  # whoever lost the race to close sees this
            except Exception as error:  # noqa: BLE001 - counted, and the test fails on it
                outcomes[f"{way.__name__}: {error!r}"] += 1

    async with asyncio.TaskGroup() as group:
        for way in ways:
            group.create_task(one(way), name=way.__name__)
    return outcomes

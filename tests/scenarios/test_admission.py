"""Strangers get no place: who shows no valid token costs callers nothing, and limits by address."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from relay.websocket.server import NEWCOMER_SECONDS
from tests.scenarios.stage import AGENT, Line, Stage, stage, token
from tests.websocket.ends import Raw, upgrade

FLOOD = 300
"""More than the connections that may wait for a token, and far more than MAX_CONNECTIONS."""
CALLERS = 8
ADA, BOB = "203.0.113.1", "198.51.100.7"


@asynccontextmanager
async def called_from(here: Stage, address: str, sub: str = "ada") -> AsyncIterator[Line]:
    """A call as a trusted proxy passes it on."""
    headers = {"Authorization": f"Bearer {token(sub)}", "X-Forwarded-For": address}
    async with here.openai_client(additional_headers=headers) as line:
        yield line


async def stranger(here: Stage) -> Raw:
    """An upgrade without a token, by somebody who answers no close."""
    raw = await Raw.connect(here.app.listener.port)
    raw.write(upgrade(target="/v1/realtime"))
    return raw


async def active(here: Stage) -> int:
    count: int = json.loads((await here.get("/health"))[1])["activeConnections"]
    return count


async def test_a_flood_of_strangers_refuses_no_valid_caller(tmp_path: Path) -> None:
    """Before, 150 of them took every place of MAX_CONNECTIONS."""
    async with stage(tmp_path, max_connections=2) as here, here.openai_client() as old:
        await old.until("session.created")
        stop = asyncio.Event()

        async def flood() -> None:
            while not stop.is_set():
                raw = await stranger(here)
                strangers.append(raw)
                if len(strangers) > FLOOD:
                    await strangers.pop(0).hang_up()

        strangers: list[Raw] = []
        async with asyncio.TaskGroup() as group:
            flooding = group.create_task(flood())
            outcomes: Counter[str] = Counter()
            for number in range(CALLERS):
                async with called_from(here, "", f"new-{number}") as line:
                    event = json.loads(await line.socket.recv())
                    outcomes[event["type"]] += 1
                    assert await active(here) == 2, "callers are counted, strangers are not"
                while await active(here) > 1:
                    await asyncio.sleep(0.005)
            stop.set()
            await flooding
        for raw in strangers:
            with contextlib.suppress(ConnectionError):
                await raw.hang_up()
        assert outcomes == {"session.created": CALLERS}
        await old.send({"type": "input_audio_buffer.clear"})
        await old.until("input_audio_buffer.cleared")


async def test_silent_connections_are_bounded_and_go_by_themselves(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        connections = here.app.listener._connections
        silent = [await Raw.connect(here.app.listener.port) for _ in range(FLOOD)]
        async with here.openai_client() as line:
            await line.until("session.created")
            assert len(connections) <= 200 + 1
            async with asyncio.timeout(10 * NEWCOMER_SECONDS):
                while len(connections) > 1:
                    await asyncio.sleep(0.05)
            await line.send({"type": "input_audio_buffer.clear"})
            await line.until("input_audio_buffer.cleared")
        for raw in silent:
            with contextlib.suppress(ConnectionError):
                await raw.hang_up()


async def test_S3_87_an_address_has_so_many_sessions_whoever_they_are(tmp_path: Path) -> None:
    async with (
        stage(tmp_path, max_connections_per_ip=2) as here,
        called_from(here, ADA, "u1") as one,
        called_from(here, ADA, "u2") as two,
    ):
        await one.until("session.created")
        await two.until("session.created")
        async with called_from(here, ADA, "u3") as third:
            assert await third.closed() == (4029, "Too many sessions")
            assert third.events[0]["error"]["code"] == "too_many_from_address"
        async with called_from(here, BOB, "u4") as other:
            await other.until("session.created")
        async with called_from(here, f"{ADA}, {BOB}", "u5") as through:
            await through.until("session.created")


async def test_S3_87_an_address_connects_so_often_in_a_minute(tmp_path: Path) -> None:
    async with stage(tmp_path, max_connects_per_minute=3) as here:
        for _ in range(3):
            async with called_from(here, ADA) as line:
                await line.until("session.created")
        async with called_from(here, ADA) as line:
            assert await line.closed() == (4029, "Too many requests")
            assert line.types == ["error"]
        headers = {"X-Forwarded-For": ADA}
        url = f"{here.voice}/?token={token()}&agent_id={AGENT}"
        async with here._connect(url, additional_headers=headers) as line:
            assert await line.closed() == (4029, "Too many requests"), "at the browser door too"
        async with called_from(here, BOB) as line:
            await line.until("session.created")


async def test_who_is_no_trusted_proxy_makes_no_address_up(tmp_path: Path) -> None:
    async with stage(tmp_path, max_connects_per_minute=2, trusted_proxies=()) as here:
        for address in (ADA, BOB):
            async with called_from(here, address) as line:
                await line.until("session.created")
        async with called_from(here, "192.0.2.77") as line:
            assert await line.closed() == (4029, "Too many requests")


@pytest.mark.parametrize("role", ["coach", "admin"])
async def test_S3_87_a_learner_has_ten_sessions_and_others_have_no_limit(
    tmp_path: Path, role: str
) -> None:
    async with stage(tmp_path, max_sessions_per_user=2) as here:
        async with contextlib.AsyncExitStack() as open_calls:
            for _ in range(2):
                line = await open_calls.enter_async_context(here.openai_client())
                await line.until("session.created")
            async with here.openai_client() as line:
                assert await line.closed() == (4029, "Too many sessions")
        async with contextlib.AsyncExitStack() as open_calls:
            headers = {"Authorization": f"Bearer {token('grace', role)}"}  # type: ignore[arg-type]
            for _ in range(3):
                line = await open_calls.enter_async_context(
                    here.openai_client(additional_headers=headers)
                )
                await line.until("session.created")


async def test_the_log_has_the_callers_address_and_never_a_token(tmp_path: Path) -> None:
    forged = token() + "x"
    headers = {"Authorization": f"Bearer {forged}", "X-Forwarded-For": BOB}
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        async with stage(tmp_path) as here:
            async with called_from(here, ADA) as line:
                await line.until("session.created")
            async with here.openai_client(additional_headers=headers) as line:
                assert (await line.closed())[0] == 3000
            await here.emptied()
    ended = {line["client"]: line["ending"] for line in lines if line["event"] == "session ended"}
    assert ended == {ADA: "client_left", BOB: "unauthorized"}
    assert forged.split(".")[2] not in str(lines)

"""The composition root: what a relay holds while it runs, and that nothing of it is left."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.app import App, page_token, run, running
from relay.auth.tokens import open_verifier
from relay.config import trust_of
from relay.realtime.endings import SERVICE_RESTART
from relay.stores.journal.file import JournalInUse
from relay.stores.sqlite.reports import SqliteReader
from tests.http.entry import entered
from tests.scenarios.stage import Stage, loaded, stage

RESTART = (SERVICE_RESTART.code, SERVICE_RESTART.reason)


def echoing(folder: Path, **more: Any) -> Any:
    """Settings of a relay that gives back what it hears."""
    return loaded(folder, relay_engine="echo", **more)


def nothing_else_runs() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")],  # noqa: S104
)
async def test_the_addresses_are_such_as_this_machine_reaches(
    tmp_path: Path, host: str, shown: str
) -> None:
    async with running(echoing(tmp_path, host=host)) as app:
        assert app.voice_url == f"ws://{shown}:{app.listener.port}/v1/realtime"
        assert app.page_url == f"http://{shown}:{app.http.port}/"
        async with Stage(app, None, tmp_path).openai_client() as line:
            await line.until("session.created")


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python knows no IPv6")
async def test_an_ipv6_address_is_shown_in_brackets(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with running(echoing(tmp_path, host="::1")) as app:
        assert app.voice_url == f"ws://[::1]:{app.listener.port}/v1/realtime"


async def test_the_page_gets_a_token_that_this_relay_believes(tmp_path: Path) -> None:
    settings = echoing(tmp_path).settings
    async with open_verifier(trust_of(settings), time.time) as verifier:
        caller = await verifier.verify(page_token(settings))

    assert (caller.sub, caller.role, caller.agent_id) == ("developer", "learner", None)
    assert caller.expires_at == pytest.approx(time.time() + 3600, abs=5)


async def test_the_coachs_page_gets_a_coachs(tmp_path: Path) -> None:
    loaded = replace(echoing(tmp_path), pages=True)
    async with running(loaded) as app, entered(app.page_address()) as (http, _):
        async with http.get(f"{app.page_url}coach/config.json") as answer:
            config = await answer.json()
        bearer = {"Authorization": f"Bearer {config['token']}"}
        async with http.get(f"{app.page_url}api/sessions", headers=bearer) as answer:
            assert await answer.json() == {"sessions": [], "total": 0}
        async with http.get(f"{app.page_url}api/conversations", headers=bearer) as answer:
            assert await answer.json() == {"conversations": []}
    async with open_verifier(trust_of(loaded.settings), time.time) as verifier:
        caller = await verifier.verify(config["token"])
    assert (caller.sub, caller.role) == (config["user_id"], "admin")


@pytest.mark.parametrize("taken", ["port", "http_port"])
async def test_a_port_that_is_taken_leaves_nothing_behind(tmp_path: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(OSError, match="in use"):
            async with running(echoing(tmp_path, **{taken: other.getsockname()[1]})):
                pass
        assert nothing_else_runs()
    async with running(echoing(tmp_path)) as app:
        assert app.listener.port, "the journal was let go of"


async def test_a_folder_that_another_relay_has_is_refused_before_anything_listens(
    tmp_path: Path,
) -> None:
    async with running(echoing(tmp_path)):
        with pytest.raises(JournalInUse):
            async with running(echoing(tmp_path)):
                pass
    assert nothing_else_runs()


@pytest.mark.parametrize(("minutes", "warned"), [(60, False), (61, True)])
async def test_a_session_limit_beyond_the_engines_is_told_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], minutes: int, warned: bool
) -> None:
    limits = {"connection_timeout": minutes * 60_000}
    async with running(loaded(tmp_path, relay_engine="openai", **limits)):
        pass
    assert ("before CONNECTION_TIMEOUT" in "".join(capsys.readouterr())) is warned


async def test_what_was_said_is_stored_when_the_relay_has_ended(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.openai_client() as line:
        await line.until("session.created")
        await line.speak()
        await line.until("response.done")
    reader = SqliteReader(tmp_path / "relay.db")
    (conversation,) = await reader.recent(2)
    said = await reader.transcript(conversation)
    await reader.aclose()

    assert [record.utterance.role for record in said] == ["user", "assistant"]
    assert nothing_else_runs()


async def test_a_relay_that_ends_takes_its_calls_along(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.openai_client() as line:
        await line.until("session.created")
        here.app.directory.end_all(SERVICE_RESTART)
        assert await line.closed() == RESTART
        await here.emptied()


async def test_while_draining_it_is_not_ready_and_takes_nobody(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.openai_client() as line:
        await line.until("session.created")
        assert (await here.get("/ready"))[0] == 200
        async with asyncio.TaskGroup() as group:
            group.create_task(here.app.drain(30))
            await asyncio.sleep(0)
            status, body = await here.get("/ready")
            with pytest.raises(ConnectionRefusedError):
                async with here.openai_client():
                    pass
            await line.speak()
            await line.until("response.done")
            await line.socket.close()

    assert (status, '"drain": "the server is shutting down"' in body) == (503, True)


@asynccontextmanager
async def run_until_told(folder: Path, drain_seconds: float) -> AsyncIterator[Stage]:
    """`run` in this process; the test sends the signals."""
    started: asyncio.Future[App] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run(echoing(folder), drain_seconds, started.set_result))
        app = await started
        try:
            yield Stage(app, None, folder)
        finally:
            async with asyncio.timeout(10):
                await asyncio.wait({task})
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_S3_63_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    async with run_until_told(tmp_path, 0) as here, here.openai_client() as line:
        await line.until("session.created")
        os.kill(os.getpid(), number)
        assert await line.closed() == RESTART
    assert nothing_else_runs()


async def test_S3_63_calls_get_their_time_to_end(tmp_path: Path) -> None:
    async with run_until_told(tmp_path, 30) as here, here.openai_client() as line:
        await line.until("session.created")
        os.kill(os.getpid(), signal.SIGTERM)
        await line.speak()
        await line.until("response.done")
        await line.socket.close(1000)
    assert nothing_else_runs()


async def test_a_second_signal_ends_the_calls_at_once(tmp_path: Path) -> None:
    async with run_until_told(tmp_path, 30) as here, here.openai_client() as line:
        await line.until("session.created")
        os.kill(os.getpid(), signal.SIGTERM)
        await line.send({"type": "input_audio_buffer.clear"})
        await line.until("input_audio_buffer.cleared")
        os.kill(os.getpid(), signal.SIGTERM)
        assert await line.closed() == RESTART

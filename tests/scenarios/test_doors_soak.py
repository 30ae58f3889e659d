"""Five hundred requests and a hundred sessions through all doors leave nothing behind."""

import asyncio
import gc
import tempfile
from pathlib import Path

import aiohttp
import pytest

from tests.doors.services.test_whole_relay import SPEAK
from tests.doors.sessions.old_client import AUDIO
from tests.doors.socketio.chatting import chatting
from tests.scenarios.stage import Stage
from tests.scenarios.test_all_doors import ADA, all_doors, post

pytestmark = pytest.mark.slow

REQUESTS, SESSIONS, AT_ONCE = 500, 100, 5


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def megabytes() -> float:
    """Of this process, in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1024 / 1024


async def one_session(here: Stage, number: int) -> None:
    """At the sessions door, at Socket.IO or as a Realtime client, in turn."""
    if number % 3 == 0:
        name = f"s-{number}"
        assert (await post(f"{here.http}/api/session/create", {"sessionId": name}))[0] == 200
        url = f"{here.http}/api/session/{name}"
        assert (await post(f"{url}/audio", {"audioData": AUDIO}))[0] == 200
        async with aiohttp.ClientSession(headers=ADA) as http, http.delete(url) as gone:
            assert gone.status == 200
    elif number % 3 == 1:
        async with chatting(here) as chatter:
            await chatter.say(f"I am number {number}.")
            answer = await chatter.until("ai-response")
            assert answer["message"]["text"] == f"You said: I am number {number}."
    else:
        async with here.openai_client() as client:
            await client.until("session.created")


async def everything(here: Stage, requests: int, sessions: int) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def request() -> None:
        async with slots:
            status, answer = await post(f"{here.http}/ai/process-audio", SPEAK)
            assert status == 200, answer

    async def session(number: int) -> None:
        async with slots:
            await one_session(here, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(requests):
            _ = group.create_task(request())
        for number in range(sessions):
            _ = group.create_task(session(number))


async def test_S0_32_S4_26_S4_40_the_relay_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    limits = {"max_concurrent_sessions": 100, "max_connections": 200}
    async with all_doors(tmp_path, **limits) as here:
        await everything(here, 50, 12)
        await here.emptied()
        gc.collect()
        before = descriptors(), megabytes()
        await everything(here, REQUESTS, SESSIONS)
        await here.emptied()
        gc.collect()
        after = descriptors(), megabytes()

    assert after[0] <= before[0] + 10
    assert after[1] <= before[1] + 60
    assert not list(scratch.iterdir())

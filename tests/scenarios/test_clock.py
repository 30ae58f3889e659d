"""The machine's clock is set while the relay runs: who is let in, what ends, and what order is."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from relay.auth.tokens import mint
from relay.clock import MachineClock
from relay.feed.messages import iso
from relay.realtime.grant import Caller
from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import End, Provider, client, provided, spoken
from tests.scenarios.stage import SECRET, Stage, new_id

HOUR = 3600.0
DAY = 24 * HOUR


class Watch:
    """A machine's clock that somebody sets; `ahead` is by how many seconds it is wrong."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self.clock = MachineClock(self.unix)

    def unix(self) -> float:
        return time.time() + self.ahead

    def token(self, ttl: float = DAY, age: float = 2 * HOUR) -> str:
        """A token of an issuer whose clock is right."""
        now = time.time()
        return mint(Caller("ada", "learner", expires_at=now + ttl), SECRET, now - age)


@asynccontextmanager
async def called(here: Stage, bearer: str, conversation: str) -> AsyncIterator[End]:
    target = f"/v1/realtime?token={bearer}&relay=1&conversation_id={conversation}"
    async with client(here, target) as end:
        await end.until("relay.session")
        yield end


async def closed_with(here: Stage, bearer: str) -> int | None:
    """The close code that this caller gets; None: they are let in."""
    async with client(here, f"/v1/realtime?token={bearer}") as end:
        while "session.created" not in end.types and not end.gone.is_set():
            await asyncio.sleep(0.005)
        return None if "session.created" in end.types else (await end.ended())[0]


async def transcript(here: Stage, watch: Watch, conversation: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {watch.token()}"}
    address = f"{here.http}/api/conversations/{conversation}/transcript"
    async with aiohttp.ClientSession(headers=headers) as http, http.get(address) as answer:
        assert answer.status == 200, await answer.text()
        said: list[dict[str, Any]] = json.loads(await answer.text())["utterances"]
        return said


async def says(end: End, call: End, number: int, previous: str | None) -> None:
    await spoken(end, call, wire.typed(f"item_{number}", f"word {number}", previous))


async def latest_call(provider: Provider, count: int) -> End:
    async with asyncio.timeout(30):
        while len(provider.calls) < count:
            await asyncio.sleep(0.005)
    return provider.calls[count - 1]


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["an hour forward", "an hour back"])
async def test_a_call_goes_on_and_what_was_said_stays_in_order(tmp_path: Path, step: float) -> None:
    watch, conversation = Watch(), new_id()
    async with provided(tmp_path, watch.clock) as (here, provider):
        async with called(here, watch.token(), conversation) as end:
            call = await latest_call(provider, 1)
            await says(end, call, 1, None)
            watch.ahead = step
            await says(end, call, 2, "item_1")
            await says(end, call, 3, "item_2")
            end.send({"type": "input_audio_buffer.clear"})
            await call.until("input_audio_buffer.clear")
            assert end.closes == []
        await here.emptied()
        async with called(here, watch.token(), conversation) as end:
            call = await latest_call(provider, 2)
            await says(end, call, 4, None)
            watch.ahead = 0.0
            await says(end, call, 5, "item_4")
        await here.emptied()
        async with called(here, watch.token(), conversation) as end:
            await says(end, await latest_call(provider, 3), 6, None)
        await here.emptied()
        await here.stored(conversation, 6)
        said = await transcript(here, watch, conversation)
    assert [one["text"] for one in said] == [f"word {number}" for number in range(1, 7)]
    assert [one["seq"] for one in said] == [1, 2, 3, 1, 2, 1]
    dates = [one["created_at"] for one in said]
    assert dates == sorted(dates), "readers that order by the date see the same"
    assert all(before != after for before, after in pairwise(dates))


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
async def test_the_clocks_step_changes_no_duration(tmp_path: Path, step: float) -> None:
    watch = Watch()
    async with provided(tmp_path, watch.clock) as (here, provider):
        with capture_logs() as lines:
            async with called(here, watch.token(), new_id()) as end:
                watch.ahead = step
                await says(end, await latest_call(provider, 1), 1, None)
            await here.emptied()
        (ended,) = [line for line in lines if line["event"] == "session ended"]
        assert 0 <= ended["seconds"] < 60
        metrics = (await here.get("/metrics"))[1]
    assert 'relay_session_seconds_bucket{le="60.0"} 1.0' in metrics


@pytest.mark.parametrize("wrong", [HOUR, -HOUR, -20.0], ids=["fast", "slow", "slow by 20 s"])
async def test_a_clock_that_is_set_right_counts_at_once(tmp_path: Path, wrong: float) -> None:
    watch = Watch(ahead=wrong)
    async with provided(tmp_path, watch.clock) as (here, _):
        bearer = watch.token(ttl=600, age=0)
        assert await closed_with(here, bearer) == 3000, "by a wrong clock the token is not valid"
        watch.ahead = 0.0
        assert await closed_with(here, bearer) is None


async def test_records_have_the_date_of_the_clock_as_it_is_now(tmp_path: Path) -> None:
    watch, conversation = Watch(ahead=-400 * DAY), new_id()  # a machine without a battery
    async with provided(tmp_path, watch.clock) as (here, provider):
        watch.ahead, before = 0.0, iso(time.time())
        async with called(here, watch.token(), conversation) as end:
            await says(end, await latest_call(provider, 1), 1, None)
        await here.stored(conversation, 1)
        (said,) = await transcript(here, watch, conversation)
    assert before <= said["created_at"] <= iso(time.time())


async def test_a_token_ends_when_the_machines_clock_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.realtime.deadlines.PING_SECONDS", 0.1)  # it looks with each ping
    watch = Watch()
    async with (
        provided(tmp_path, watch.clock) as (here, provider),
        called(here, watch.token(ttl=2 * HOUR), new_id()) as long,
        called(here, watch.token(ttl=HOUR / 2), new_id()) as short,
    ):
        watch.ahead = HOUR
        assert await short.ended() == (4001, "Token expired")
        await says(long, provider.calls[0], 1, None)
        assert long.closes == []


async def test_the_log_says_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.clock.LOOK_SECONDS", 0.02)
    watch = Watch()
    with capture_logs() as lines:

        def told() -> list[float]:
            said = "the machine's clock was set"
            return [line["seconds"] for line in lines if line["event"] == said]

        async with provided(tmp_path, watch.clock), asyncio.timeout(30):
            await asyncio.sleep(0)  # it has looked once
            for count, step in enumerate((HOUR, -2 * HOUR), start=1):
                watch.ahead += step
                while len(told()) < count:
                    await asyncio.sleep(0.01)
    assert told() == [pytest.approx(HOUR, abs=1), pytest.approx(-2 * HOUR, abs=1)]

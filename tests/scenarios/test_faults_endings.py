"""Faults that end a session or keep it from beginning: one ending of ours, whatever was theirs."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from relay.simulator.faults import (
    Condition,
    HandshakeFault,
    InBandRefusal,
    SessionCut,
    SessionExpired,
    SessionStalled,
)
from tests.scenarios.faulty import FIRST, KEY, PLAIN, Bad, Caller, Told, bad_day, together

CLOSED = (1011, "OpenAI connection closed")
TIMED_OUT = (1011, "OpenAI connection timed out")
IDLE = (4011, "Idle")
HOURS = (1.0, 4.0, 12.0)
"""Seconds: one of them is longer than a conversation takes, on a busy machine too."""
STATUSES = (400, 401, 403, 404, 408, 429, 500, 502, 503, 504)


async def refused(here: Bad, ending: tuple[int, str], sub: str = "ada") -> None:
    """A caller that the provider does not take hears why in our words, and nothing else.

    The code is the provider's own where it says that no other attempt can succeed.
    """
    async with here.call(sub, query="") as caller:
        assert await caller.ended() == ending
    (told,) = caller.events
    assert told["type"] == "error"
    assert told["error"]["code"] in ("engine_closed", "engine_timed_out", "invalid_api_key")
    assert "script" not in json.dumps(told), "the provider's own words"
    assert KEY not in json.dumps(told)


async def test_every_status_at_the_upgrade_is_the_same_ending(tmp_path: Path) -> None:
    faults = [
        HandshakeFault(status=status, retry_after=3, only=Condition(session=number))  # type: ignore[arg-type]
        for number, status in enumerate(STATUSES, start=1)
    ]
    async with bad_day(tmp_path, *faults) as here:
        for status in STATUSES:  # each of another caller: one who fails so often has to wait
            await refused(here, CLOSED, f"ada{status}")
        async with here.call() as caller:
            await caller.converses_to_the_last_word()
    assert here.told(caller) == PLAIN, "and the next caller is served"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_the_key_follows_no_redirect(tmp_path: Path, status: int) -> None:
    came: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    location = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
    fault = HandshakeFault(status=status, location=location)  # type: ignore[arg-type]
    async with server, bad_day(tmp_path, fault) as here:
        await refused(here, CLOSED)
    assert came == []


@pytest.mark.parametrize(
    ("code", "close"),
    [
        ("invalid_api_key", 3000),
        ("invalid_model", 4000),
        ("beta_api_shape_disabled", 4000),
        ("model_not_found", 4004),
    ],
)
async def test_a_refusal_after_the_upgrade_is_told_in_our_words(
    tmp_path: Path, code: str, close: int
) -> None:
    message = f"script: Incorrect API key provided: {KEY}."
    fault = InBandRefusal(code=code, message=message, close=close, only=FIRST)
    async with bad_day(tmp_path, fault) as here:
        await refused(here, CLOSED)
        async with here.call() as caller:
            await caller.converses_to_the_last_word()
    assert here.told(caller) == PLAIN


async def test_a_provider_that_never_greets_is_given_up(tmp_path: Path) -> None:
    fault = SessionStalled(after_events=0, only=FIRST)
    day = bad_day(tmp_path, fault, engine_timeout=2.0)  # the other one is greeted in time
    async with day as here, here.call(query="") as sick, here.call("bob") as well:
        await together(ends(sick, TIMED_OUT), well.converses_to_the_last_word())
        assert sick.line.types == ["error"]
    assert here.told(well) == PLAIN


async def ends(caller: Caller, ending: tuple[int, str]) -> None:
    assert await caller.ended() == ending


@pytest.mark.parametrize("tells", [True, False], ids=["told", "untold"])
async def test_the_end_of_the_hour_is_1011_and_never_1001(tmp_path: Path, tells: bool) -> None:
    for seconds in HOURS:
        if await an_hour_passes(tmp_path / str(seconds), seconds, tells):
            return
    raise AssertionError("no hour was longer than a conversation")


async def an_hour_passes(folder: Path, seconds: float, tells: bool) -> bool:
    """Talk for longer than it lasts; False when it was over in the middle of what was said."""
    fault = SessionExpired(seconds=seconds, error=tells, only=FIRST)
    async with bad_day(folder, fault) as here, here.two() as (sick, well):
        talking = asyncio.create_task(sick.converses_to_the_last_word())
        await well.converses_to_the_last_word()
        await asyncio.wait({talking})
        if isinstance(talking.exception(), ConnectionClosed):
            return False
        await talking
        assert await sick.ended() == CLOSED
        codes = [event["error"]["code"] for event in sick.of("error")]
        assert codes == (["session_expired"] if tells else []) + ["engine_closed"]
        await well.at_rest()
    assert here.told(sick) == here.told(well) == PLAIN
    return True


async def test_a_session_that_expires_in_silence_ends_when_it_has_been_idle(
    tmp_path: Path,
) -> None:
    fault = SessionExpired(seconds=0.2, close=False)
    async with bad_day(tmp_path, fault, idle_timeout=0.6) as here, here.call() as caller:
        assert await caller.ended() == IDLE
    assert [e["error"]["code"] for e in caller.of("error")] == ["session_expired", "idle"]


async def test_a_provider_that_falls_silent_disturbs_nobody_else(tmp_path: Path) -> None:
    fault = SessionStalled(after_events=24, only=FIRST)
    async with bad_day(tmp_path, fault, idle_timeout=3.0) as here, here.two() as (sick, well):
        await sick.says(200)
        await sick.hears(lambda: len(sick.events) >= 20)
        await well.converses_to_the_last_word()
        assert await sick.ended() == TIMED_OUT, "it has begun an answer: somebody spoke"
    assert here.told(well) == PLAIN
    assert_as_far_as_it_went(here.told(sick))


def assert_as_far_as_it_went(told: list[Told]) -> None:
    """Each utterance is whole, or open and the beginning of what it would have been."""
    whole = iter(PLAIN)
    for role, text, state in told:
        wanted = next(told for told in whole if told[0] == role and told[1].startswith(text))
        if state == "final":
            assert text == wanted[1]
        else:
            assert state in ("partial", "interrupted", "unheard"), told


async def test_wherever_the_connection_breaks_what_was_said_until_then_is_stored(
    tmp_path: Path,
) -> None:
    places = range(1, 92, 2)
    faults = [
        SessionCut(after_events=place, only=Condition(session=number))
        for number, place in enumerate(places, start=1)
    ]
    async with bad_day(tmp_path, *faults) as here, AsyncExitStack() as calls:
        callers = [await calls.enter_async_context(here.call(f"ada{place}")) for place in places]
        whole = await together_each(callers)
    assert 0 < len(whole) < 8, "only the last ones break when all is said"
    for caller in callers:
        told = here.told(caller)
        assert_as_far_as_it_went(told)
        assert caller not in whole or told == PLAIN
    lengths = [len(here.told(caller)) for caller in callers]
    assert (lengths[0], lengths[-1]) == (0, 6)


async def together_each(callers: list[Caller]) -> list[Caller]:
    """All converse; those who came to an end of it, while the others were cut off in our words."""
    whole = []

    async def one(caller: Caller) -> None:
        try:
            await caller.converses_to_the_last_word()
            whole.append(caller)
        except ConnectionClosed:
            assert await caller.ended() == CLOSED
            assert caller.of("error")[-1]["error"]["code"] == "engine_closed"

    await together(*map(one, callers))
    return whole

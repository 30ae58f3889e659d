"""Engines that begin a session, and engines that do not; what each finding says to do."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from relay.check.engine import Names, engine
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.openai import FixedKey, OpenAIEngine, OpenAIOptions
from relay.interfaces import Engine, EngineRequest
from relay.parts.simple import echo_parts, scripted_parts
from relay.realtime.endings import AT_CAPACITY
from relay.simulator import Simulator, SimulatorOptions, simulate
from tests.session.fakes import FakeEngine

NAMES = Names("THE_KEY", "THE_ADDRESS", "THE_MODEL")
MODEL = "gpt-realtime-2.1"


async def looked_at(voice: Engine, seconds: float = 5.0) -> tuple[str, str, str]:
    found = await engine(voice, MODEL, seconds, NAMES)
    await voice.aclose()
    return found.state, found.what, found.mend


async def simulated(models: frozenset[str] | None = None) -> Simulator:
    return await simulate(SimulatorOptions(parts=scripted_parts(), models=models))


async def test_a_voice_of_this_process() -> None:
    state, what, _ = await looked_at(CascadeEngine(echo_parts()))

    assert state == "ok"
    assert what.startswith("echo began a session after ")


async def test_a_voice_elsewhere_is_left_again() -> None:
    async with await simulated() as simulator:
        options = OpenAIOptions(FixedKey("sk-1"), simulator.base_url)
        state, what, _ = await looked_at(OpenAIEngine(options))
        async with asyncio.timeout(5):
            while simulator.connections:
                await asyncio.sleep(0)

    assert state == "ok"
    assert what.startswith("openai began a session after ")


async def test_no_key() -> None:
    assert await looked_at(OpenAIEngine(OpenAIOptions(FixedKey("")))) == (
        "fail",
        "openai: OpenAI API key not configured",
        "set THE_KEY",
    )


async def test_a_key_that_is_refused_is_not_shown() -> None:
    async with await simulated() as simulator:
        found = await looked_at(
            OpenAIEngine(OpenAIOptions(FixedKey("bad-key"), simulator.base_url))
        )

    assert found == (
        "fail",
        "openai refuses the session: invalid_api_key",
        "see THE_KEY, THE_ADDRESS and THE_MODEL",
    )


async def test_a_model_that_is_not_known() -> None:
    async with await simulated(models=frozenset({"another"})) as simulator:
        found = await looked_at(OpenAIEngine(OpenAIOptions(FixedKey("sk-1"), simulator.base_url)))

    assert found[1] == "openai refuses the session: invalid_model"


async def test_nobody_there() -> None:
    state, what, mend = await looked_at(
        OpenAIEngine(OpenAIOptions(FixedKey("sk-1"), "ws://127.0.0.1:8"))
    )

    assert (state, what) == ("fail", "openai: OpenAI connection closed")
    assert mend == "is THE_ADDRESS right, and may this machine reach it?"


async def test_somebody_who_never_begins() -> None:
    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(silent, "127.0.0.1", 0, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        voice = OpenAIEngine(OpenAIOptions(FixedKey("sk-1"), f"ws://127.0.0.1:{port}"))
        found = await looked_at(voice, seconds=0.1)

    assert found == ("fail", "openai: no session in 0 s", "see THE_ADDRESS")


@pytest.mark.parametrize("late", [True, False])
async def test_other_refusals_come_with_their_own_advice(late: bool) -> None:
    voice = FakeEngine(None if late else AT_CAPACITY)
    state, what, mend = await looked_at(voice, seconds=0.05)

    assert state == "fail"
    assert voice.cancelled == late
    assert (what, mend) == (
        ("fake: no session in 0 s", "see THE_ADDRESS")
        if late
        else ("fake: Server at capacity", AT_CAPACITY.advice)
    )
    assert voice.calls == [EngineRequest("relay-check", MODEL, "relay-check")]

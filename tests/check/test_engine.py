"""Engines that begin a session, engines that do not, and the hint of each result."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from relay.check.engine import VOICE_QUESTION, SettingNames, check_engine, spoken_question
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.openai import FixedKey, OpenAIEngine, OpenAIOptions
from relay.interfaces import Engine, EngineRequest
from relay.parts.simple import ToneSynthesizer, echo_parts, scripted_parts
from relay.realtime.endings import AT_CAPACITY
from relay.simulator import Simulator, SimulatorOptions, simulate
from tests.session.fakes import FakeEngine

NAMES = SettingNames("THE_KEY", "THE_ADDRESS", "THE_MODEL")
MODEL = "gpt-realtime-2.1"
SECOND = 48_000


async def checked(engine: Engine, seconds: float = 5.0) -> tuple[str, str, str]:
    found = await check_engine(engine, MODEL, seconds, NAMES)
    await engine.aclose()
    return found.state, found.what, found.hint


async def simulated(models: frozenset[str] | None = None) -> Simulator:
    return await simulate(SimulatorOptions(parts=scripted_parts(), models=models))


async def test_an_engine_of_this_process() -> None:
    state, what, _ = await checked(CascadeEngine(echo_parts()))

    assert state == "ok"
    assert what.startswith("echo began a session after ")


async def test_the_session_at_a_provider_is_closed_again() -> None:
    async with await simulated() as simulator:
        options = OpenAIOptions(FixedKey("sk-1"), simulator.base_url)
        state, what, _ = await checked(OpenAIEngine(options))
        async with asyncio.timeout(5):
            while simulator.connections:
                await asyncio.sleep(0)

    assert state == "ok"
    assert what.startswith("openai began a session after ")


async def test_no_key() -> None:
    assert await checked(OpenAIEngine(OpenAIOptions(FixedKey("")))) == (
        "fail",
        "openai: OpenAI API key not configured",
        "set THE_KEY",
    )


async def test_a_key_that_is_refused_is_not_shown() -> None:
    async with await simulated() as simulator:
        found = await checked(OpenAIEngine(OpenAIOptions(FixedKey("bad-key"), simulator.base_url)))

    assert found == (
        "fail",
        "openai refuses the session: invalid_api_key",
        "see THE_KEY, THE_ADDRESS and THE_MODEL",
    )


async def test_an_unknown_model() -> None:
    async with await simulated(models=frozenset({"another"})) as simulator:
        found = await checked(OpenAIEngine(OpenAIOptions(FixedKey("sk-1"), simulator.base_url)))

    assert found[1] == "openai refuses the session: invalid_model"


async def test_no_server() -> None:
    state, what, hint = await checked(
        OpenAIEngine(OpenAIOptions(FixedKey("sk-1"), "ws://127.0.0.1:8"))
    )

    assert state == "fail"
    assert what == "openai: OpenAI connection closed: nothing listens there"
    assert hint == "is THE_ADDRESS right, and can this machine reach it?"


async def test_a_server_that_begins_no_session() -> None:
    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(silent, "127.0.0.1", 0, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        engine = OpenAIEngine(OpenAIOptions(FixedKey("sk-1"), f"ws://127.0.0.1:{port}"))
        found = await checked(engine, seconds=0.1)

    assert found == ("fail", "openai: no session in 0 s", "see THE_ADDRESS")


@pytest.mark.parametrize("late", [True, False])
async def test_other_refusals_come_with_their_own_advice(late: bool) -> None:
    engine = FakeEngine(None if late else AT_CAPACITY)
    state, what, hint = await checked(engine, seconds=0.05)

    assert state == "fail"
    assert engine.cancelled == late
    assert (what, hint) == (
        ("fake: no session in 0 s", "see THE_ADDRESS")
        if late
        else ("fake: Server at capacity", AT_CAPACITY.advice)
    )
    assert engine.calls == [EngineRequest("relay-check", MODEL, "relay-check")]


async def test_the_question_is_spoken_by_the_synthesizer_that_is_given_and_closed() -> None:
    class Synthesizer(ToneSynthesizer):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    synthesizer = Synthesizer()
    pcm = await spoken_question(synthesizer)

    assert len(pcm) == pytest.approx(len(VOICE_QUESTION) * 0.06 * SECOND, rel=0.01)
    assert synthesizer.closed

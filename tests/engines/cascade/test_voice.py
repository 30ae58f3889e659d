"""The offline voice as an engine."""

import asyncio

import pytest

from relay.engines.cascade import engine as voice_module
from relay.engines.cascade.engine import CascadeEngine
from relay.interfaces import Engine, EngineRequest
from relay.parts.interfaces import Parts
from relay.parts.simple import echo_parts, scripted_parts
from relay.realtime.endings import AT_CAPACITY, SessionRefused
from tests.engines.cascade.listening import Listener, turns

CALL = EngineRequest("session-1", "gpt-realtime-2.1", "user-1")


async def test_it_is_an_engine_with_the_name_of_its_parts():
    engine: Engine = CascadeEngine(echo_parts())

    peer = await engine.open(CALL)
    listener = Listener(peer)
    peer.attach(listener)
    created = await listener.hears("session.created")

    assert engine.name == "echo"
    assert created["session"]["model"] == "gpt-realtime-2.1"
    await engine.aclose()


async def test_sessions_are_strangers_to_each_other():
    engine = CascadeEngine(scripted_parts())
    listeners = [Listener(await engine.open(CALL)) for _ in range(2)]
    for listener in listeners:
        listener.peer.attach(listener)
    one, other = [await listener.hears("session.created") for listener in listeners]

    listeners[0].say("input_audio_buffer.clear")
    await listeners[0].hears("input_audio_buffer.cleared")
    await turns()

    assert one["session"]["id"] != other["session"]["id"]
    assert len(listeners[1].events) == 1
    await engine.aclose()


async def test_there_is_an_end_to_the_sessions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(voice_module, "MAX_SESSIONS", 2)
    engine = CascadeEngine(scripted_parts())
    first = await engine.open(CALL)
    await engine.open(CALL)

    with pytest.raises(SessionRefused) as refused:
        await engine.open(CALL)
    first.close(1000, "")
    await engine.open(CALL)

    assert refused.value.ending == AT_CAPACITY
    await engine.aclose()


class Counting:
    """Parts that say whether they were let go of."""

    def __init__(self) -> None:
        self.closed = 0

    async def transcribe(self, pcm: bytes) -> str:
        return ""

    async def synthesize(self, text: str, voice: str) -> bytes:
        return b""

    async def aclose(self) -> None:
        self.closed += 1


async def test_closing_lets_go_of_sessions_and_parts():
    counting, like = Counting(), scripted_parts()
    parts = Parts(like.make_speech_detector, counting, like.make_responder, counting, "counting")
    engine = CascadeEngine(parts)
    listener = Listener(await engine.open(CALL))
    listener.peer.attach(listener)

    await engine.aclose()
    await turns()

    assert listener.endings == [(1001, "Going away")]
    assert counting.closed == 2
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("counting")] == []

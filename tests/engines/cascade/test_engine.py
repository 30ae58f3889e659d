"""The cascade as an engine, and its connections: held, pushed, paused, bounded, closed once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from relay.engines.cascade import engine as engine_module
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.cascade.outputs import Pace
from relay.interfaces import Connection, Engine, EngineRequest
from relay.parts.interfaces import Parts, SynthesisRequest, TranscriptionRequest
from relay.parts.simple import (
    LoudnessDetector,
    Script,
    ToneSynthesizer,
    echo_parts,
    scripted_parts,
    silence,
    tone,
)
from relay.realtime.endings import AT_CAPACITY, OUT_OF_MEMORY, SessionRefused
from tests.engines.cascade.driving import Event
from tests.engines.cascade.listening import Listener, turns

CALL = EngineRequest("session-1", "gpt-realtime", "user-1")
FAST = Pace(burst=1000, text_seconds=0)


@pytest.fixture
async def engine() -> AsyncIterator[CascadeEngine]:
    opened = CascadeEngine(scripted_parts(Script(replies=("x" * 400,))), FAST)
    yield opened
    await opened.aclose()


@pytest.fixture
async def connection(engine: CascadeEngine) -> Connection:
    return await engine.open(CALL)


def attached(connection: Connection) -> Listener:
    listener = Listener(connection)
    connection.attach(listener)
    return listener


def speak(listener: Listener) -> None:
    audio = base64.b64encode(tone(300) + silence(1000)).decode()
    listener.say("input_audio_buffer.append", audio=audio)


async def test_events_wait_for_the_first_receiver(connection: Connection):
    connection.send(b'{"type":"input_audio_buffer.clear"}')
    await turns()

    listener = attached(connection)
    await listener.hears("input_audio_buffer.cleared")

    assert [event["type"] for event in listener.events] == [
        "session.created",
        "input_audio_buffer.cleared",
    ]


async def test_nothing_is_pushed_from_within_a_call(connection: Connection):
    listener = attached(connection)
    assert listener.events == []
    await listener.hears("session.created")

    listener.say("input_audio_buffer.clear")

    assert len(listener.events) == 1


async def test_a_whole_turn(connection: Connection):
    listener = attached(connection)

    speak(listener)

    done = await listener.hears("response.done")
    assert done["response"]["status"] == "completed"
    await listener.hears("rate_limits.updated")


async def test_a_receiver_may_answer_from_within_a_push(connection: Connection):
    listener = attached(connection)

    def answer(event: Event) -> None:
        if event["type"] == "session.created":
            listener.say("response.create")
        if event["type"] == "response.created":
            listener.say("response.cancel")

    listener.on_event = answer

    done = await listener.hears("response.done")
    assert done["response"]["status"] == "cancelled"


async def test_a_frame_may_be_overwritten_once_it_is_sent(connection: Connection):
    listener = attached(connection)
    frame = bytearray(b'{"type":"input_audio_buffer.clear"}')

    connection.send(memoryview(frame))
    frame[:] = b"x" * len(frame)

    await listener.hears("input_audio_buffer.cleared")


async def test_a_paused_connection_pushes_nothing_and_produces_little(connection: Connection):
    listener = attached(connection)
    await listener.hears("session.created")
    connection.pause()
    speak(listener)
    while connection._outbox_bytes < engine_module.HIGH_BYTES:  # type: ignore[attr-defined]
        await turns()
    await turns(100)

    assert len(listener.events) == 1
    assert connection._outbox_bytes < engine_module.HIGH_BYTES + 200_000  # type: ignore[attr-defined]

    connection.resume()
    await listener.hears("rate_limits.updated")
    assert listener.bytes > engine_module.HIGH_BYTES


async def test_a_full_inbox_is_not_writable_until_it_drains(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine_module, "HIGH_BYTES", 10_000)
    listener = attached(connection)
    await listener.hears("session.created")
    connection.pause()

    for _ in range(1000):
        listener.say("input_audio_buffer.clear")
    await listener.until(lambda me: me.writables == [False])
    connection.resume()
    await listener.until(lambda me: me.writables == [False, True])
    await listener.until(lambda me: len(me.events) == 1001)


async def test_a_client_that_ignores_writable_is_closed(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine_module, "MAX_INBOX_BYTES", 10_000)
    listener = attached(connection)

    for _ in range(400):
        listener.say("input_audio_buffer.clear")
    await listener.until(lambda me: bool(me.endings))

    assert listener.endings == [(1013, "Too much waiting")]
    assert connection.fault == OUT_OF_MEMORY


async def test_a_flood_of_events_lets_the_loop_run(connection: Connection):
    listener = attached(connection)
    await listener.hears("session.created")

    for _ in range(3 * engine_module.MAX_EVENTS_A_TURN):
        listener.say("input_audio_buffer.clear")
    await turns(2)

    assert 1 < len(listener.events) <= 1 + 2 * engine_module.MAX_EVENTS_A_TURN
    await listener.until(lambda me: len(me.events) == 1 + 3 * engine_module.MAX_EVENTS_A_TURN)


async def test_many_large_answers_to_small_questions_do_not_pile_up(connection: Connection):
    listener = attached(connection)
    audio = base64.b64encode(tone(10_000)).decode()
    part = {"type": "input_audio", "audio": audio}
    item = {"id": "big", "type": "message", "role": "user", "content": [part]}
    listener.say("conversation.item.create", item=item)
    await listener.hears("conversation.item.done")

    most = 0
    for _ in range(50):
        listener.say("conversation.item.retrieve", item_id="big")
    while len([e for e in listener.events if e["type"] == "conversation.item.retrieved"]) < 50:
        most = max(most, connection._outbox_bytes)  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    assert most < engine_module.HIGH_BYTES + 700_000


async def test_a_close_is_reported_once_and_ends_everything(connection: Connection):
    listener = attached(connection)
    await listener.hears("session.created")
    connection.pause()
    speak(listener)

    connection.close(4010, "Session time limit")
    connection.close(1000, "")
    connection.send(b'{"type":"input_audio_buffer.clear"}')
    await turns(10)

    assert listener.endings == [(4010, "Session time limit")]
    assert len(listener.events) == 1


async def test_a_close_before_the_first_receiver_is_reported_to_it(connection: Connection):
    connection.close(1000, "Early")

    listener = attached(connection)
    await turns()

    assert listener.endings == [(1000, "Early")]


async def test_the_close_of_an_expired_session_comes_after_its_error(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    listener = attached(connection)
    await listener.hears("session.created")
    loop = asyncio.get_running_loop()
    machine = connection._machine  # type: ignore[attr-defined]
    machine._expires_at = loop.time()
    connection.resume()

    error = await listener.hears("error")
    await listener.until(lambda me: bool(me.endings))

    assert error["error"]["code"] == "session_expired"
    assert listener.endings == [
        (1001, "Your session hit the maximum duration of 60 minutes."),
    ]


async def test_a_connection_in_the_process_is_alive(connection: Connection):
    assert connection.ping() == 0


class Stuck:
    """A transcriber and synthesizer that never finish, or fail."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.cancelled = 0

    name = "stuck"
    languages = ()

    async def prepare(self) -> None:
        pass

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        yield await self._wait()

    async def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        yield (await self._wait()).encode()

    async def aclose(self) -> None:
        pass

    async def _wait(self) -> str:
        if self.fault is not None:
            raise self.fault
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ""


def stuck_parts(stuck: Stuck) -> Parts:
    responder = scripted_parts().make_responder
    return Parts(LoudnessDetector, stuck, responder, stuck, "stuck")


async def test_a_close_cancels_the_work_that_was_begun():
    stuck = Stuck()
    engine = CascadeEngine(stuck_parts(stuck), FAST)
    listener = attached(await engine.open(CALL))
    speak(listener)
    await listener.hears("response.created")

    listener.connection.close(1000, "")
    await turns(5)

    assert stuck.cancelled == 1
    await engine.aclose()


async def test_parts_that_fail_fail_a_turn_and_not_the_session():
    engine = CascadeEngine(stuck_parts(Stuck(RuntimeError("spoken words"))), FAST)
    listener = attached(await engine.open(CALL))
    listener.say(
        "session.update",
        session={
            "type": "realtime",
            "audio": {"input": {"transcription": {"model": "whisper-1"}}},
        },
    )
    speak(listener)

    failed = await listener.hears("conversation.item.input_audio_transcription.failed")
    done = await listener.hears("response.done")
    listener.say("input_audio_buffer.clear")
    await listener.hears("input_audio_buffer.cleared")

    assert done["response"]["status"] == "failed"
    assert "spoken words" not in str(failed) + str(done)
    await engine.aclose()


class Slow(ToneSynthesizer):
    """A synthesizer that lets everything else happen first."""

    async def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        await turns(50)
        async for piece in super().synthesize(request):
            yield piece


async def test_a_late_synthesis_still_answers():
    like = scripted_parts()
    parts = Parts(like.make_speech_detector, like.transcriber, like.make_responder, Slow(), "slow")
    engine = CascadeEngine(parts, FAST)
    listener = attached(await engine.open(CALL))
    speak(listener)

    done = await listener.hears("response.done")

    assert done["response"]["status"] == "completed"
    await engine.aclose()


async def test_a_turn_whose_transcription_fails_is_told_and_the_session_goes_on():
    stuck = Stuck(RuntimeError("spoken words"))
    parts = Parts(
        LoudnessDetector, stuck, scripted_parts().make_responder, ToneSynthesizer(), "half"
    )
    engine = CascadeEngine(parts, FAST)
    listener = attached(await engine.open(CALL))
    speak(listener)

    error = await listener.hears("error")
    done = await listener.hears("response.done")
    listener.events.clear()
    listener.say("response.create", response={"input": [], "output_modalities": ["text"]})
    next_done = await listener.hears("response.done")

    assert error["error"]["code"] == "transcriber_failed"
    assert done["response"]["status"] == "failed"
    assert "spoken words" not in str(error) + str(done)
    assert next_done["response"]["status"] == "completed"
    await engine.aclose()


async def test_it_is_an_engine_with_the_name_of_its_parts():
    engine: Engine = CascadeEngine(echo_parts())

    connection = await engine.open(EngineRequest("session-1", "gpt-realtime-2.1", "user-1"))
    listener = Listener(connection)
    connection.attach(listener)
    created = await listener.hears("session.created")

    assert engine.name == "echo"
    assert created["session"]["model"] == "gpt-realtime-2.1"
    await engine.aclose()


async def test_sessions_share_nothing():
    engine = CascadeEngine(scripted_parts())
    listeners = [Listener(await engine.open(CALL)) for _ in range(2)]
    for listener in listeners:
        listener.connection.attach(listener)
    one, other = [await listener.hears("session.created") for listener in listeners]

    listeners[0].say("input_audio_buffer.clear")
    await listeners[0].hears("input_audio_buffer.cleared")
    await turns()

    assert one["session"]["id"] != other["session"]["id"]
    assert len(listeners[1].events) == 1
    await engine.aclose()


async def test_sessions_are_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine_module, "MAX_SESSIONS", 2)
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
    """Parts that count how often they were closed."""

    name = "counting"
    languages = ()

    def __init__(self) -> None:
        self.prepared = 0
        self.closed = 0

    async def prepare(self) -> None:
        self.prepared += 1

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        yield ""

    async def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None:
        self.closed += 1


async def test_closing_ends_sessions_and_parts():
    counting, like = Counting(), scripted_parts()
    parts = replace(like, transcriber=counting, synthesizer=counting, resources=[counting])
    engine = CascadeEngine(parts)
    engine.prepare()
    await turns()
    listener = Listener(await engine.open(CALL))
    listener.connection.attach(listener)

    await engine.aclose()
    await turns()

    assert listener.endings == [(1001, "Going away")]
    assert (counting.prepared, counting.closed) == (3, 3)
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("cascade")] == []

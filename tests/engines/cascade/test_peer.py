"""The offline voice as a peer: held, pushed, paused, bounded, closed once."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from relay.engines.cascade import engine as peer_module
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.cascade.outputs import Pace
from relay.interfaces import Connection, EngineRequest
from relay.parts.interfaces import Parts
from relay.parts.simple import (
    LoudnessDetector,
    Script,
    ToneSynthesizer,
    scripted_parts,
    silence,
    tone,
)
from tests.engines.cascade.driving import Event
from tests.engines.cascade.listening import Listener, turns

CALL = EngineRequest("session-1", "gpt-realtime", "user-1")
FAST = Pace(burst=1000, text_seconds=0)


@pytest.fixture
async def voice() -> AsyncIterator[CascadeEngine]:
    voice = CascadeEngine(scripted_parts(Script(replies=("x" * 400,))), FAST)
    yield voice
    await voice.aclose()


@pytest.fixture
async def peer(voice: CascadeEngine) -> Connection:
    return await voice.open(CALL)


def attached(peer: Connection) -> Listener:
    listener = Listener(peer)
    peer.attach(listener)
    return listener


def speak(listener: Listener) -> None:
    audio = base64.b64encode(tone(300) + silence(1000)).decode()
    listener.say("input_audio_buffer.append", audio=audio)


async def test_what_came_before_the_receiver_is_kept_for_it(peer: Connection):
    peer.send(b'{"type":"input_audio_buffer.clear"}')
    await turns()

    listener = attached(peer)
    await listener.hears("input_audio_buffer.cleared")

    assert [event["type"] for event in listener.events] == [
        "session.created",
        "input_audio_buffer.cleared",
    ]


async def test_nothing_is_pushed_from_within_a_call(peer: Connection):
    listener = attached(peer)
    assert listener.events == []
    await listener.hears("session.created")

    listener.say("input_audio_buffer.clear")

    assert len(listener.events) == 1


async def test_a_whole_turn(peer: Connection):
    listener = attached(peer)

    speak(listener)

    done = await listener.hears("response.done")
    assert done["response"]["status"] == "completed"
    await listener.hears("rate_limits.updated")


async def test_a_receiver_may_answer_from_within_a_push(peer: Connection):
    listener = attached(peer)

    def answer(event: Event) -> None:
        if event["type"] == "session.created":
            listener.say("response.create")
        if event["type"] == "response.created":
            listener.say("response.cancel")

    listener.on_event = answer

    done = await listener.hears("response.done")
    assert done["response"]["status"] == "cancelled"


async def test_a_frame_may_be_overwritten_once_it_is_sent(peer: Connection):
    listener = attached(peer)
    frame = bytearray(b'{"type":"input_audio_buffer.clear"}')

    peer.send(memoryview(frame))
    frame[:] = b"x" * len(frame)

    await listener.hears("input_audio_buffer.cleared")


async def test_a_paused_peer_pushes_nothing_and_produces_little(peer: Connection):
    listener = attached(peer)
    await listener.hears("session.created")
    peer.pause()
    speak(listener)
    while peer._outbox_bytes < peer_module.HIGH_BYTES:  # type: ignore[attr-defined]
        await turns()
    await turns(100)

    assert len(listener.events) == 1
    assert peer._outbox_bytes < peer_module.HIGH_BYTES + 200_000  # type: ignore[attr-defined]

    peer.resume()
    await listener.hears("rate_limits.updated")
    assert listener.bytes > peer_module.HIGH_BYTES


async def test_a_client_that_goes_on_while_nobody_reads_is_told_to_wait(
    peer: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peer_module, "HIGH_BYTES", 10_000)
    listener = attached(peer)
    await listener.hears("session.created")
    peer.pause()

    for _ in range(1000):
        listener.say("input_audio_buffer.clear")
    await listener.until(lambda me: me.writables == [False])
    peer.resume()
    await listener.until(lambda me: me.writables == [False, True])
    await listener.until(lambda me: len(me.events) == 1001)


async def test_a_client_that_does_not_wait_is_hung_up_on(
    peer: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peer_module, "MAX_INBOX_BYTES", 10_000)
    listener = attached(peer)

    for _ in range(400):
        listener.say("input_audio_buffer.clear")
    await listener.until(lambda me: bool(me.endings))

    assert listener.endings == [(1013, "Too much waiting")]


async def test_a_flood_leaves_the_loop_to_others(peer: Connection):
    listener = attached(peer)
    await listener.hears("session.created")

    for _ in range(3 * peer_module.MAX_EVENTS_A_TURN):
        listener.say("input_audio_buffer.clear")
    await turns(2)

    assert 1 < len(listener.events) <= 1 + 2 * peer_module.MAX_EVENTS_A_TURN
    await listener.until(lambda me: len(me.events) == 1 + 3 * peer_module.MAX_EVENTS_A_TURN)


async def test_many_large_answers_to_small_questions_do_not_pile_up(peer: Connection):
    listener = attached(peer)
    audio = base64.b64encode(tone(10_000)).decode()
    part = {"type": "input_audio", "audio": audio}
    item = {"id": "big", "type": "message", "role": "user", "content": [part]}
    listener.say("conversation.item.create", item=item)
    await listener.hears("conversation.item.done")

    most = 0
    for _ in range(50):
        listener.say("conversation.item.retrieve", item_id="big")
    while len([e for e in listener.events if e["type"] == "conversation.item.retrieved"]) < 50:
        most = max(most, peer._outbox_bytes)  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    assert most < peer_module.HIGH_BYTES + 700_000


async def test_a_close_of_ours_is_reported_once_and_is_the_end(peer: Connection):
    listener = attached(peer)
    await listener.hears("session.created")
    peer.pause()
    speak(listener)

    peer.close(4010, "Session time limit")
    peer.close(1000, "")
    peer.send(b'{"type":"input_audio_buffer.clear"}')
    await turns(10)

    assert listener.endings == [(4010, "Session time limit")]
    assert len(listener.events) == 1


async def test_a_close_before_the_receiver_is_told_to_it(peer: Connection):
    peer.close(1000, "Early")

    listener = attached(peer)
    await turns()

    assert listener.endings == [(1000, "Early")]


async def test_the_end_of_the_hour_comes_after_its_error(
    peer: Connection, monkeypatch: pytest.MonkeyPatch
):
    listener = attached(peer)
    await listener.hears("session.created")
    loop = asyncio.get_running_loop()
    machine = peer._machine  # type: ignore[attr-defined]
    machine._expires_at = loop.time()
    peer.resume()

    error = await listener.hears("error")
    await listener.until(lambda me: bool(me.endings))

    assert error["error"]["code"] == "session_expired"
    assert listener.endings == [
        (1001, "Your session hit the maximum duration of 60 minutes."),
    ]


async def test_a_peer_in_the_process_is_alive(peer: Connection):
    assert peer.ping() == 0


class Stuck:
    """A recogniser and a mouth that never come to an end, or fail."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.cancelled = 0

    async def transcribe(self, pcm: bytes) -> str:
        return await self._wait()

    async def synthesize(self, text: str, voice: str) -> bytes:
        return (await self._wait()).encode()

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
    voice = CascadeEngine(stuck_parts(stuck), FAST)
    listener = attached(await voice.open(CALL))
    speak(listener)
    await listener.hears("response.created")

    listener.peer.close(1000, "")
    await turns(5)

    assert stuck.cancelled == 1
    await voice.aclose()


async def test_parts_that_fail_fail_a_turn_and_not_the_session():
    voice = CascadeEngine(stuck_parts(Stuck(RuntimeError("spoken words"))), FAST)
    listener = attached(await voice.open(CALL))
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
    await voice.aclose()


class Slow(ToneSynthesizer):
    """A synthesizer that lets everything else happen first."""

    async def synthesize(self, text: str, voice: str) -> bytes:
        await turns(50)
        return await super().synthesize(text, voice)


async def test_an_answer_that_comes_when_all_is_quiet_is_given():
    like = scripted_parts()
    parts = Parts(like.make_speech_detector, like.transcriber, like.make_responder, Slow(), "slow")
    voice = CascadeEngine(parts, FAST)
    listener = attached(await voice.open(CALL))
    speak(listener)

    done = await listener.hears("response.done")

    assert done["response"]["status"] == "completed"
    await voice.aclose()


async def test_the_answer_is_spoken_although_transcription_fails():
    stuck = Stuck(RuntimeError())
    parts = Parts(
        LoudnessDetector, stuck, scripted_parts().make_responder, ToneSynthesizer(), "half"
    )
    voice = CascadeEngine(parts, FAST)
    listener = attached(await voice.open(CALL))
    speak(listener)

    done = await listener.hears("response.done")

    assert done["response"]["status"] == "completed"
    await voice.aclose()

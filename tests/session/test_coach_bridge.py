"""Coaches in a live session: they listen, one speaks, and all is undone when they go."""

import asyncio
import json
from math import inf
from typing import Any

import pytest

from relay.interfaces import Connection, EngineRequest
from relay.realtime.coaching.control import Command
from relay.realtime.endings import CLIENT_LEFT, TOKEN_EXPIRED
from relay.session import coach_bridge
from relay.session.coach_bridge import (
    LEARNER,
    LEARNER_BYTES,
    MAX_BURST_BYTES,
    MAX_BYTES_PER_SECOND,
    MAX_STREAMS,
    MODEL,
    MODEL_BYTES,
    CoachStream,
    MonitorBuffer,
)
from relay.session.session import Session
from tests.fake_connection import FakePeer
from tests.realtime import wire_events as wire
from tests.realtime.coaching.test_speech import PAUSE, WORD
from tests.session.fakes import CREATED, FakeClock, FakeEngine, Stage, settle
from tests.session.test_session import DELTA

TAKEOVER, RELEASE = Command("takeover", "carol"), Command("release", "carol")


class TwoPeers(FakeEngine):
    """Opens the session's connection, then the transcriber's."""

    def __init__(self, first: Connection, second: Connection) -> None:
        super().__init__(first)
        self.peers = [first, second]

    async def open(self, request: EngineRequest) -> Connection:
        self.outcome = self.peers.pop(0)
        return await super().open(request)


class Bridged:
    """A live session with a coach bridge."""

    def __init__(self, stage: Stage, session: Session, running: Any, transcriber: FakePeer) -> None:
        self.stage = stage
        self.session = session
        self.running = running
        self.transcriber = transcriber

    def open(self, coach: str = "carol") -> CoachStream:
        opened = self.session.open_coach_audio(coach)
        assert isinstance(opened, CoachStream)
        return opened

    def understand(self, item_id: str, text: str) -> None:
        for event in (wire.committed(item_id, None), wire.heard(item_id, text)):
            self.transcriber.arrive(json.dumps(event))

    async def over(self) -> None:
        self.stage.client.leave(1000)
        await self.running


async def live() -> Bridged:
    stage, transcriber = Stage(relay_events=True), FakePeer()
    stage.opens = TwoPeers(stage.engine, transcriber)
    session = stage.session()
    running = asyncio.ensure_future(session.run())
    await settle()
    stage.engine.arrive(CREATED)
    return Bridged(stage, session, running, transcriber)


async def test_a_turn_goes_to_the_learner_the_transcriber_and_the_record() -> None:
    here = await live()
    stream = here.open()
    assert here.session.execute(TAKEOVER) == "done"
    stream.take_audio(WORD + PAUSE)
    await settle()
    here.transcriber.arrive(CREATED)
    assert "response.output_audio.delta" in here.stage.client_types()
    assert json.loads(here.transcriber.sent[-1])["type"] == "input_audio_buffer.commit"
    here.understand("E1", "Hello Ada.")
    assert here.stage.client_types()[-1] == "response.done"
    assert here.stage.engine_types()[-1] == "conversation.item.create"
    await here.over()
    (record,) = here.stage.journal.records
    assert (record.utterance.text, record.utterance.coach_id) == ("Hello Ada.", "carol")
    assert here.transcriber.close_sent is not None


async def test_coaches_hear_the_model_and_not_themselves() -> None:
    here = await live()
    carol, dave = here.open("carol"), here.open("dave")
    here.stage.engine.arrive(DELTA)
    first = await carol.next()
    assert first is not None
    assert first[:1] == b"\x01"
    assert await dave.next() == first
    here.session.execute(TAKEOVER)
    carol.take_audio(WORD)
    waiting = asyncio.ensure_future(carol.next())
    await settle()
    assert not waiting.done()
    carol.close()
    assert await waiting is None
    await here.over()
    assert dave.ending is not None
    assert (dave.ending.code, dave.ending.reason) == (1000, CLIENT_LEFT.name)


async def test_of_an_answer_in_another_format_than_the_sessions_coaches_hear_nothing() -> None:
    """It would be noise: their streams are PCM16."""
    here = await live()
    carol = here.open("carol")
    created = wire.response_created("resp_1")
    created["response"]["audio"] = {"output": {"format": {"type": "audio/pcmu"}}}
    added = wire.message("A1", "assistant", status="in_progress")
    item = {"type": "response.output_item.added", "response_id": "resp_1", "item": added}
    done = {"type": "response.done", "response": {"id": "resp_1"}}
    waiting = asyncio.ensure_future(carol.next())
    for event in (created, item, json.loads(DELTA), done):
        here.stage.engine.arrive(json.dumps(event))
    await settle()
    assert not waiting.done()
    here.stage.engine.arrive(DELTA)
    assert (await waiting or b"")[:1] == b"\x01"
    await here.over()


async def test_a_release_ends_what_is_being_said() -> None:
    here = await live()
    stream = here.open()
    here.session.execute(TAKEOVER)
    stream.take_audio(WORD)
    here.session.execute(RELEASE)
    kinds = here.stage.client_types()
    assert kinds[-2:] == ["response.output_audio.done", "relay.coach"]
    stream.take_audio(WORD)
    assert here.stage.client_types() == kinds
    await here.over()


async def test_the_transcriber_finishes_when_the_last_coach_has_left() -> None:
    here = await live()
    stream = here.open()
    here.session.execute(TAKEOVER)
    stream.take_audio(WORD)
    await settle()
    here.transcriber.arrive(CREATED)
    stream.close()
    await settle()
    assert here.transcriber.close_sent is None
    here.understand("E1", "Hello Ada.")
    await settle()
    assert here.transcriber.close_sent is not None
    assert here.stage.client_types()[-1] == "response.done"
    await here.over()


async def test_a_coach_who_does_not_come_back_loses_the_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coach_bridge, "GRACE_SECONDS", 0.0)
    here = await live()
    here.session.execute(TAKEOVER)
    here.open().close()
    again = here.open()
    await asyncio.sleep(0.01)
    assert here.session.status().speaker == "carol", "the grace period ended with the new stream"
    again.close()
    await asyncio.sleep(0.01)
    assert here.session.status().speaker is None
    await here.over()


async def test_streams_are_bounded_and_an_ended_session_has_none() -> None:
    here = await live()
    for number in range(MAX_STREAMS):
        here.open(f"coach {number}")
    assert here.session.open_coach_audio("one more") == "busy"
    here.open("coach 0")
    await here.over()
    assert here.session.open_coach_audio("carol") == "over"


async def test_there_is_no_stream_where_the_audio_is_of_another_format() -> None:
    here = await live()
    audio = {"output": {"format": {"type": "audio/pcmu"}}}
    here.stage.engine.arrive(json.dumps({"type": "session.updated", "session": {"audio": audio}}))
    assert here.session.open_coach_audio("carol") == "format"
    await here.over()


class Streaming:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: list[bytes] = []
        self.closed: list[CoachStream] = []
        self.stream = CoachStream(self.clock, self.said.append, self.closed.append)


async def test_frames_name_their_speaker_and_come_at_once() -> None:
    here = Streaming()
    coming = asyncio.ensure_future(here.stream.next())
    await settle()
    assert not coming.done()
    here.stream.learner(b"abcd")
    assert await coming == b"\x00abcd"
    here.stream.model(b"efgh")
    assert await here.stream.next() == b"\x01efgh"


async def test_what_was_flushed_does_not_come() -> None:
    here = Streaming()
    here.stream.model(b"efgh")
    here.stream.flush()
    here.stream.learner(b"abcd")
    assert await here.stream.next() == b"\x00abcd"


async def test_a_closed_stream_is_closed_once_and_takes_nothing_more() -> None:
    here = Streaming()
    coming = asyncio.ensure_future(here.stream.next())
    await settle()
    here.stream.close(TOKEN_EXPIRED)
    here.stream.close(CLIENT_LEFT)
    assert await coming is None
    assert here.stream.ending == TOKEN_EXPIRED
    assert here.closed == [here.stream]
    here.stream.take_audio(b"abcd")
    assert here.said == []


async def test_audio_that_comes_much_faster_than_it_is_spoken_is_dropped() -> None:
    here = Streaming()
    here.stream.take_audio(bytes(MAX_BURST_BYTES))
    here.stream.take_audio(b"abcd")
    assert len(here.said) == 1
    here.clock.now += 1.0
    here.stream.take_audio(bytes(MAX_BYTES_PER_SECOND))
    here.stream.take_audio(b"abcd")
    assert len(here.said) == 2


SECOND = bytes(48_000)
TENTH = bytes(4_800)


def taken(buffer: MonitorBuffer, now: float) -> list[tuple[bytes, int]]:
    found = []
    while (frame := buffer.take(now)) is not None:
        found.append((frame[:1], len(frame) - 1))
    return found


def test_the_learner_is_heard_at_once() -> None:
    buffer = MonitorBuffer()
    assert buffer.next() == inf
    buffer.learner(TENTH)
    assert buffer.next() == 0.0
    assert taken(buffer, 5.0) == [(LEARNER, 4800)]


def test_the_model_is_heard_as_fast_as_the_learner_hears_it() -> None:
    buffer = MonitorBuffer()
    for _ in range(10):
        buffer.model(TENTH)
    assert len(taken(buffer, 5.0)) == 3, "a lead of two tenths, and what is played"
    assert taken(buffer, 5.05) == []
    assert round(buffer.next(), 3) == 5.1
    assert taken(buffer, 5.101) == [(MODEL, 4800)]


def test_what_the_learner_does_not_hear_any_more_the_coach_does_not_either() -> None:
    buffer = MonitorBuffer()
    for _ in range(10):
        buffer.model(TENTH)
    taken(buffer, 5.0)
    buffer.flush()
    assert taken(buffer, 9.0) == []
    buffer.model(TENTH)
    assert taken(buffer, 9.0) == [(MODEL, 4800)]


def test_a_slow_coach_misses_the_oldest_audio() -> None:
    buffer = MonitorBuffer()
    for number in range(20):
        buffer.learner(bytes([number]) + SECOND[1:])
    first = buffer.take(1.0)
    assert first is not None
    assert first[1] == 15
    assert len(taken(buffer, 1.0)) == LEARNER_BYTES // 48_000 - 1


def test_an_answer_that_came_at_once_is_kept_up_to_two_minutes() -> None:
    buffer = MonitorBuffer()
    for number in range(130):
        buffer.model(bytes([number]) + SECOND[1:])
    first = buffer.take(1.0)
    assert first is not None
    assert first[1] == 130 - MODEL_BYTES // 48_000

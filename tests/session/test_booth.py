"""Coaches on a session's line: who listens, who is heard, and what is left when they go."""

import asyncio
import json
from typing import Any

import pytest

from relay.interfaces import Connection, EngineRequest
from relay.realtime.coaching.control import Command
from relay.realtime.endings import CLIENT_LEFT
from relay.session import coach_bridge as booth
from relay.session.coach_bridge import MOST_LINES, CoachStream
from relay.session.session import Session
from tests.fake_connection import FakePeer
from tests.realtime import wire_events as wire
from tests.realtime.coaching.test_speech import PAUSE, WORD
from tests.session.fakes import CREATED, FakeEngine, Stage, settle
from tests.session.test_session import DELTA

TAKEOVER, RELEASE = Command("takeover", "carol"), Command("release", "carol")


class TwoPeers(FakeEngine):
    """The session's engine, then the ear's."""

    def __init__(self, first: Connection, second: Connection) -> None:
        super().__init__(first)
        self.peers = [first, second]

    async def open(self, call: EngineRequest) -> Connection:
        self.outcome = self.peers.pop(0)
        return await super().open(call)


class Desk:
    """A live session that coaches can come to."""

    def __init__(self, stage: Stage, session: Session, running: Any, ear: FakePeer) -> None:
        self.stage = stage
        self.call = session.live_call()
        self.running = running
        self.ear = ear

    def line(self, coach: str = "carol") -> CoachStream:
        opened = self.call.booth.open(coach)
        assert isinstance(opened, CoachStream)
        return opened

    def understand(self, item_id: str, text: str) -> None:
        for event in (wire.committed(item_id, None), wire.heard(item_id, text)):
            self.ear.arrive(json.dumps(event))

    async def over(self) -> None:
        self.stage.client.leave(1000)
        await self.running


async def live() -> Desk:
    stage, ear = Stage(relay_events=True), FakePeer()
    session = stage.session()
    shared = session._shared
    object.__setattr__(shared, "engine", TwoPeers(stage.engine, ear))
    session._booth._wires = booth.BridgeDeps(
        shared.engine,
        session._seats.call,
        session._spout.plain,
        session._spout.listen,
        session._coached.obey,
    )
    running = asyncio.ensure_future(session.run())
    await settle()
    stage.engine.arrive(CREATED)
    return Desk(stage, session, running, ear)


async def test_a_turn_goes_to_the_learner_to_the_ear_and_into_the_record() -> None:
    desk = await live()
    line = desk.line()
    assert desk.call.obey(TAKEOVER) == "done"
    line.hear(WORD + PAUSE)
    await settle()
    desk.ear.arrive(CREATED)
    assert "response.output_audio.delta" in desk.stage.client_types()
    assert json.loads(desk.ear.sent[-1])["type"] == "input_audio_buffer.commit"
    desk.understand("E1", "Hello Ada.")
    assert desk.stage.client_types()[-1] == "response.done"
    assert desk.stage.engine_types()[-1] == "conversation.item.create"
    await desk.over()
    (record,) = desk.stage.journal.records
    assert (record.utterance.text, record.utterance.coach_id) == ("Hello Ada.", "carol")
    assert desk.ear.close_sent is not None


async def test_all_who_listen_hear_the_model_and_not_themselves() -> None:
    desk = await live()
    carol, dave = desk.line("carol"), desk.line("dave")
    desk.stage.engine.arrive(DELTA)
    first = await carol.next()
    assert first is not None
    assert first[:1] == b"\x01"
    assert await dave.next() == first
    desk.call.obey(TAKEOVER)
    carol.hear(WORD)
    waiting = asyncio.ensure_future(carol.next())
    await settle()
    assert not waiting.done()
    carol.close()
    assert await waiting is None
    await desk.over()
    assert dave.ending is not None
    assert (dave.ending.code, dave.ending.reason) == (1000, CLIENT_LEFT.name)


async def test_a_release_ends_what_is_being_said() -> None:
    desk = await live()
    line = desk.line()
    desk.call.obey(TAKEOVER)
    line.hear(WORD)
    desk.call.obey(RELEASE)
    kinds = desk.stage.client_types()
    assert kinds[-2:] == ["response.output_audio.done", "relay.coach"]
    line.hear(WORD)
    assert desk.stage.client_types() == kinds
    await desk.over()


async def test_when_the_last_one_hangs_up_the_ear_hears_the_sentence_out_and_goes() -> None:
    desk = await live()
    line = desk.line()
    desk.call.obey(TAKEOVER)
    line.hear(WORD)
    await settle()
    desk.ear.arrive(CREATED)
    line.close()
    await settle()
    assert desk.ear.close_sent is None
    desk.understand("E1", "Hello Ada.")
    await settle()
    assert desk.ear.close_sent is not None
    assert desk.stage.client_types()[-1] == "response.done"
    await desk.over()


async def test_who_has_the_word_and_does_not_come_back_gives_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(booth, "GRACE_SECONDS", 0.0)
    desk = await live()
    desk.call.obey(TAKEOVER)
    desk.line().close()
    again = desk.line()
    await asyncio.sleep(0.01)
    assert desk.call.speaker() == "carol", "the grace ended with the new line"
    again.close()
    await asyncio.sleep(0.01)
    assert desk.call.speaker() is None
    await desk.over()


async def test_lines_are_bounded_and_there_is_none_into_a_call_that_is_over() -> None:
    desk = await live()
    for number in range(MOST_LINES):
        desk.line(f"coach {number}")
    assert desk.call.booth.open("one more") == "busy"
    desk.line("coach 0")
    await desk.over()
    assert desk.call.booth.open("carol") == "over"


async def test_there_is_no_line_to_a_learner_whose_sound_is_of_another_format() -> None:
    desk = await live()
    audio = {"output": {"format": {"type": "audio/pcmu"}}}
    desk.stage.engine.arrive(json.dumps({"type": "session.updated", "session": {"audio": audio}}))
    assert desk.call.booth.open("carol") == "format"
    await desk.over()

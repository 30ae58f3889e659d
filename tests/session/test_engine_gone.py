"""An engine that is gone without a word ends its session, and the client is told the truth."""

import asyncio
import base64
import json
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from relay.realtime import endings
from relay.realtime.endings import Ending
from relay.realtime.events import encode
from relay.session.session import Session
from tests.fake_connection import FakePeer
from tests.realtime import wire_events as wire
from tests.session.fakes import CREATED, Stage, settle

LOUD = base64.b64encode(b"\x00\x20" * 480).decode()
QUIET = base64.b64encode(bytes(960)).decode()
COMMIT = '{"type":"input_audio_buffer.commit"}'
CREATE = '{"type":"response.create"}'
DELTA = '{"type":"response.output_audio.delta","event_id":"e","item_id":"A1","delta":"AAAA"}'


class Answering(FakePeer):
    """A far end that answers pings while it lives."""

    def __init__(self, *, alive: bool = True) -> None:
        super().__init__()
        self.alive = alive

    def ping(self) -> int:
        unanswered = super().ping()
        if self.alive:
            self.unanswered_pings = 0
        return unanswered


def append(audio: str) -> str:
    return f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}'


def pass_time(
    stage: Stage, session: Session, seconds: float, each: Callable[[], None] = lambda: None
) -> float:
    """Let time pass until the session ends or so many seconds have; returns how many did."""
    began = stage.clock.now
    while stage.clock.now < began + seconds and session.status().ending is None:
        stage.clock.now += 0.5
        each()
        if stage.clock.now >= session._next_deadline():
            session._on_deadline()
    return stage.clock.now - began


async def connected(**peers: FakePeer) -> tuple[Stage, Session, "asyncio.Task[Ending]"]:
    stage = Stage(client=Answering(), engine=peers.get("engine", Answering(alive=False)))
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    return stage, session, running


async def test_a_dead_engine_is_noticed_within_45_seconds_although_the_caller_sends() -> None:
    stage, session, running = await connected()
    took = pass_time(stage, session, 300.0, lambda: stage.client.arrive(append(QUIET)))
    assert took <= 45.0
    assert await running == endings.ENGINE_TIMED_OUT
    assert stage.client.close_sent == (1011, "OpenAI connection timed out")
    last = json.loads(stage.client.sent[-1])
    assert last["error"]["code"] == "engine_timed_out"
    assert "Nobody spoke" not in last["error"]["message"]


@pytest.mark.parametrize("asked", [COMMIT, CREATE])
async def test_one_that_owes_a_turn_is_noticed_within_15_seconds(asked: str) -> None:
    stage, session, running = await connected()
    pass_time(stage, session, 5.0)
    stage.client.arrive(asked)
    assert 10.0 <= pass_time(stage, session, 300.0) <= 15.5
    assert await running == endings.ENGINE_TIMED_OUT


async def test_a_caller_who_speaks_need_not_wait_for_the_next_regular_ping() -> None:
    stage, session, running = await connected()
    took = pass_time(stage, session, 300.0, lambda: stage.client.arrive(append(LOUD)))
    assert took <= 20.0
    assert await running == endings.ENGINE_TIMED_OUT


async def test_one_that_dies_within_its_answer_is_noticed() -> None:
    stage, session, running = await connected()
    stage.engine.arrive(encode(wire.speech_started("U1")))
    stage.engine.arrive(DELTA)
    assert pass_time(stage, session, 300.0) <= 45.0
    assert await running == endings.ENGINE_TIMED_OUT


async def ended_after_five_minutes(stage: Stage, session: Session, audio: str) -> Ending:
    took = pass_time(stage, session, 400.0, lambda: stage.client.arrive(append(audio)))
    assert took >= 299.0
    return session._ended.result()


async def test_nobody_spoke_is_said_where_nobody_spoke() -> None:
    stage, session, running = await connected(engine=Answering())
    assert await ended_after_five_minutes(stage, session, QUIET) == endings.IDLE
    assert await running == endings.IDLE
    assert "Nobody spoke" in json.loads(stage.client.sent[-1])["error"]["message"]


async def test_nobody_spoke_is_not_said_to_one_who_spoke_to_a_deaf_engine() -> None:
    stage, session, running = await connected(engine=Answering())
    assert await ended_after_five_minutes(stage, session, LOUD) == endings.IDLE_UNHEARD
    assert await running == endings.IDLE_UNHEARD
    assert stage.client.close_sent == (4011, "Idle")
    assert "Nobody spoke" not in json.loads(stage.client.sent[-1])["error"]["message"]


async def test_nobody_spoke_is_not_said_to_one_who_waits_for_an_answer() -> None:
    stage, session, running = await connected(engine=Answering())
    stage.client.arrive(CREATE)
    assert await ended_after_five_minutes(stage, session, QUIET) == endings.ENGINE_TIMED_OUT
    assert await running == endings.ENGINE_TIMED_OUT


async def test_a_caller_whose_microphone_stops_within_a_word_does_not_blame_the_engine() -> None:
    stage, session, running = await connected(engine=Answering())
    stage.engine.arrive(encode(wire.speech_started("U1")))
    assert pass_time(stage, session, 400.0) >= 299.0
    assert await running == endings.IDLE_UNHEARD
    assert stage.client.close_sent == (4011, "Idle")


async def test_a_living_engine_and_an_open_microphone_end_nothing_before_that() -> None:
    stage, session, running = await connected(engine=Answering())
    for _ in range(4):
        pass_time(stage, session, 290.0, lambda: stage.client.arrive(append(QUIET)))
        assert session.status().ending is None
        stage.engine.arrive(encode(wire.speech_started("U1")))
        stage.engine.arrive(encode(wire.committed("U1", None)))
    session.end(endings.CLIENT_LEFT)
    await running


async def test_looking_for_a_voice_takes_nothing_from_what_the_engine_is_sent() -> None:
    stage, session, running = await connected(engine=Answering())
    sent = 0

    def talk() -> None:
        nonlocal sent
        sent += 1
        stage.client.arrive(append(LOUD if sent % 7 else QUIET))

    pass_time(stage, session, 60.0, talk)
    assert stage.engine_types().count("input_audio_buffer.append") == sent
    session.end(endings.CLIENT_LEFT)
    await running


async def test_the_close_code_and_reason_of_an_engine_are_logged_without_its_key() -> None:
    with capture_logs() as logs:
        stage, _, running = await connected()
        stage.engine.leave(1013, "server busy, sk-proj-0123456789abcdef")
        await running
    (line,) = [line for line in logs if line["event"] == "engine closed"]
    assert (line["code"], line["reason"]) == (1013, "server busy, [masked]")
    counted = 'relay_engine_troubles_total{code="1013",part="closed"} 1.0'
    assert counted in stage.metrics.render().decode()


async def test_a_session_that_ends_by_itself_reports_no_closing_of_the_engine() -> None:
    with capture_logs() as logs:
        stage, _, running = await connected()
        stage.client.leave(1000, "")
        await running
    assert [line for line in logs if line["event"] == "engine closed"] == []


async def test_failures_that_an_engine_reports_are_logged_and_counted() -> None:
    done = {"type": "response.done", "response": {"id": "R1", "status": "failed"}}
    fault = {"code": "insufficient_quota", "message": "You exceeded your current quota"}
    done["response"]["status_details"] = {"type": "failed", "error": fault}  # type: ignore[index]
    with capture_logs() as logs:
        stage, session, running = await connected(engine=Answering())
        for event in (*[done] * 3, *wire.spoken_turn("U1", None), wire.not_heard("U1")):
            stage.engine.arrive(encode(event))
        session.end(endings.CLIENT_LEFT)
        await running
    failed = [line for line in logs if line["event"] == "answer failed"]
    assert [(line["code"], line.get("repeats")) for line in failed] == [
        ("insufficient_quota", None),
        ("insufficient_quota", 2),
    ]
    assert [line["event"] for line in logs if line["event"] == "transcription failed"] != []
    assert "quota" not in json.dumps(logs).replace("insufficient_quota", "")
    metrics = stage.metrics.render().decode()
    assert 'relay_engine_troubles_total{code="insufficient_quota",part="response"} 3.0' in metrics
    assert [record.utterance.state for record in stage.journal.records] == ["failed"]

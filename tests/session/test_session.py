"""A session between fake peers: both directions, and every way it can end."""

import asyncio
import json

import pytest

from relay.interfaces import Frame
from relay.realtime import endings
from relay.realtime.endings import Ending
from relay.realtime.events import encode
from relay.realtime.grant import Caller
from relay.session.links import EARLY_BYTES, EARLY_FRAMES
from tests.fake_connection import FakePeer
from tests.realtime import wire_events as wire
from tests.session.fakes import CALLER, CREATED, SESSION, FakeClock, Stage, settle

APPEND = '{"type":"input_audio_buffer.append","audio":"%s"}'
DELTA = '{"type":"response.output_audio.delta","event_id":"e","item_id":"A1","delta":"AAAA"}'


async def test_frames_go_both_ways_in_order() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    stage.client.arrive(APPEND % "AAAA")
    stage.client.arrive('{"type":"response.create"}')
    stage.engine.arrive(DELTA)
    assert stage.engine_types() == [
        "session.update",
        "input_audio_buffer.append",
        "response.create",
    ]
    assert stage.client_types() == ["session.created", "response.output_audio.delta"]
    assert stage.client.sent[1] == DELTA.encode(), "audio passes as it came"
    traffic = stage.metrics.traffic
    assert (traffic.frames_up, traffic.frames_down) == (2, 2)
    session.end(endings.CLIENT_LEFT)
    assert await running == endings.CLIENT_LEFT


async def test_S3_21_what_comes_before_the_engine_is_ready_is_delivered_in_order() -> None:
    stage = Stage()
    session, running = stage.start()
    for word in ("AAAA", "BBBB"):
        stage.client.arrive(APPEND % word)
    await settle()
    stage.client.arrive(APPEND % "CCCC")
    assert stage.engine.sent == [], "not connected before session.created"
    stage.engine.arrive(CREATED)
    stage.client.arrive(APPEND % "DDDD")
    audio = [json.loads(frame).get("audio") for frame in stage.engine.sent]
    assert audio == [None, "AAAA", "BBBB", "CCCC", "DDDD"]
    session.end(endings.CLIENT_LEFT)
    await running


async def test_a_client_that_sends_too_much_too_early_is_paused_and_loses_nothing() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    big = "A" * (EARLY_BYTES // 4)
    for _ in range(6):
        stage.client.arrive(APPEND % big)
    assert stage.client.paused
    stage.engine.arrive(CREATED)
    assert not stage.client.paused
    assert stage.engine_types().count("input_audio_buffer.append") == 6
    session.end(endings.CLIENT_LEFT)
    await running


async def test_small_frames_that_come_too_early_are_bounded_too() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    for _ in range(EARLY_FRAMES + 1):
        assert not stage.client.paused
        stage.client.arrive(APPEND % "AAAA")
    assert stage.client.paused
    stage.engine.arrive(CREATED)
    assert not stage.client.paused
    assert stage.engine_types().count("input_audio_buffer.append") == EARLY_FRAMES + 1
    session.end(endings.CLIENT_LEFT)
    await running


async def test_an_engine_that_early_frames_fill_holds_the_client_back() -> None:
    class Narrow(FakePeer):
        def send(self, frame: Frame) -> None:
            super().send(frame)
            if len(self.sent) == 3:
                self.fill(True)

    stage = Stage(engine=Narrow())
    session, running = stage.start()
    await settle()
    for _ in range(6):
        stage.client.arrive(APPEND % ("A" * (EARLY_BYTES // 4)))
    stage.engine.arrive(CREATED)
    assert stage.engine_types().count("input_audio_buffer.append") == 6, "none is lost"
    assert stage.client.paused
    stage.engine.fill(False)
    assert not stage.client.paused
    session.end(endings.CLIENT_LEFT)
    await running


async def test_S3_57_who_does_not_read_gets_no_answers_of_ours() -> None:
    stage = Stage(relay_events=True)
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    stage.client.fill(True)
    told = len(stage.client.sent)
    for bad in ("{", '{"type":"nothing"}', '{"type":"relay.token"}'):
        stage.client.arrive(bad)
    assert len(stage.client.sent) == told
    stage.client.arrive(APPEND % "AAAA")
    stage.client.arrive('{"type":"response.create"}')
    assert stage.engine_types()[-2:] == ["input_audio_buffer.append", "response.create"]
    stage.client.fill(False)
    stage.client.arrive("{")
    assert stage.client_types()[told:] == ["error"]
    session.end(endings.CLIENT_LEFT)
    await running


async def test_S3_13_a_client_that_leaves_takes_the_engine_with_it() -> None:
    stage = Stage()
    _, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    stage.client.leave(1000, "bye")
    assert await running == endings.CLIENT_LEFT
    assert stage.engine.close_sent == (1000, "Client disconnected")


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 3000, 4000, 4001])
async def test_S3_11_an_engine_that_leaves_is_1011_whatever_its_code(code: int) -> None:
    stage = Stage()
    _, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    stage.engine.leave(code, "insufficient_quota sk-secret")
    assert await running == endings.ENGINE_CLOSED
    assert stage.client.close_sent == (1011, "OpenAI connection closed")
    assert b"sk-secret" not in b"".join(stage.client.sent)


OF_ANY_END = (1000, 1001, 1002, 1003, 1005, 1007, 1009, 1011, 1013, 4029, 4711)


@pytest.mark.parametrize("code", OF_ANY_END)
async def test_whatever_code_a_client_closes_with_it_has_left(code: int) -> None:
    """The code is its own: a client that failed (1011) is no failure of ours."""
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.client.leave(code)
    assert await running == endings.CLIENT_LEFT
    assert session.client_code == code


async def test_a_client_without_a_close_frame_is_lost() -> None:
    stage = Stage()
    _, running = stage.start()
    await settle()
    stage.client.leave()
    assert await running == endings.CLIENT_LOST


@pytest.mark.parametrize(
    "fault",
    [
        *(endings.PROTOCOL_ERROR, endings.BINARY_REFUSED, endings.NOT_UTF8),
        *(endings.FRAME_TOO_BIG, endings.INTERNAL_ERROR, endings.OUT_OF_MEMORY),
        endings.TOO_MANY_FRAMES,
    ],
    ids=lambda ending: ending.name,
)
async def test_why_our_end_of_a_clients_connection_was_closed_is_named(fault: Ending) -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.client.fault = fault
    stage.client.leave(fault.code, fault.reason)
    assert await running == fault
    assert session.client_code is None


async def test_a_client_that_leaves_during_set_up_cancels_the_engine() -> None:
    stage = Stage(opens=None)
    _, running = stage.start()
    await settle()
    stage.client.leave()
    assert await running == endings.CLIENT_LOST
    assert stage.opener.cancelled


@pytest.mark.parametrize("ending", [endings.NO_PROVIDER_KEY, endings.ENGINE_CLOSED])
async def test_S3_9_an_engine_that_refuses_ends_the_session(ending: Ending) -> None:
    stage = Stage(opens=ending)
    _, running = stage.start()
    assert await running == ending
    assert stage.client.close_sent == (ending.code, ending.reason)
    assert (
        f'relay_engine_refused_total{{ending="{ending.name}"}} 1.0'
        in stage.metrics.render().decode()
    )


async def test_S3_10_an_engine_that_fails_in_an_unknown_way_is_1011() -> None:
    stage = Stage(opens=RuntimeError("sk-secret"))
    _, running = stage.start()
    assert await running == endings.INTERNAL_ERROR
    assert stage.client.close_sent == (1011, "Internal server error")


async def test_an_engine_that_says_no_before_it_greets_is_not_quoted() -> None:
    stage = Stage()
    _, running = stage.start()
    await settle()
    stage.engine.arrive('{"type":"error","error":{"code":"invalid_api_key","message":"sk-123"}}')
    stage.engine.leave(3000, "invalid_request_error.invalid_api_key")
    assert await running == endings.ENGINE_REFUSED
    assert b"sk-123" not in b"".join(stage.client.sent)


async def test_an_engine_that_never_greets_times_out() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.clock.now += 10.0
    session._on_deadline()
    assert await running == endings.ENGINE_TIMED_OUT
    assert stage.client.close_sent == (1011, "OpenAI connection timed out")
    assert stage.engine.close_sent is not None


async def test_S3_51_two_unanswered_pings_end_the_session() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    for _ in range(3):
        stage.clock.now += 30.0
        session._on_deadline()
    assert await running == endings.CONNECTION_LOST
    assert stage.client.close_sent == (4012, "Connection lost")


async def test_S3_57_a_slow_client_holds_back_the_engine_but_not_its_own_voice() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    stage.client.fill(True)
    assert stage.engine.paused
    assert not stage.client.paused
    stage.client.arrive(APPEND % "AAAA")
    assert stage.engine_types()[-1] == "input_audio_buffer.append"
    stage.client.fill(False)
    assert not stage.engine.paused
    stage.client.fill(True)
    stage.clock.now += 10.0
    session._on_deadline()
    assert await running == endings.CLIENT_TOO_SLOW
    assert stage.client.close_sent == (4013, "Client too slow")


async def test_a_slow_engine_holds_back_the_client() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    stage.engine.fill(True)
    assert stage.client.paused
    stage.engine.fill(False)
    assert not stage.client.paused
    session.end(endings.CLIENT_LEFT)
    await running


async def test_the_first_ending_wins_and_each_side_is_closed_once() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    session.end(endings.IDLE)
    stage.client.leave()
    stage.engine.leave()
    session.end(endings.INTERNAL_ERROR)
    assert await running == endings.IDLE


async def test_what_was_said_is_journalled_even_when_the_session_breaks_off() -> None:
    stage = Stage()
    _, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    for event in (*wire.typed("U1", "Hi", None), wire.heard_delta("U2", "And th")):
        stage.engine.arrive(encode(event))
    stage.client.leave()
    await running
    said = [(record.utterance.text, record.utterance.state) for record in stage.journal.records]
    assert said == [("Hi", "final"), ("And th", "partial")]
    assert {record.head.session_id for record in stage.journal.records} == {SESSION}


async def test_S3_64_a_fault_of_ours_ends_this_session_and_says_nothing_of_its_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)

    def broken(*_: object) -> None:
        raise RuntimeError("the learner said: my secret")

    session.core.transcript.observe = broken  # type: ignore[method-assign,assignment]
    stage.engine.arrive('{"type":"response.done"}')
    assert await running == endings.INTERNAL_ERROR
    assert stage.client.close_sent == (1011, "Internal server error")
    assert "my secret" not in "".join(capsys.readouterr())


async def test_S3_49_a_fresh_token_moves_the_expiry_and_a_strangers_does_not() -> None:
    stage = Stage(relay_events=True, expires_at=1100.0)
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    for verified, until in (
        (endings.UNAUTHORIZED, 1100.0),
        (type(CALLER)(sub="other", role="learner", expires_at=5000.0), 1100.0),
        (type(CALLER)(sub="u1", role="learner", expires_at=5000.0), 5000.0),
    ):
        stage.verified = verified
        stage.client.arrive('{"type":"relay.token","token":"t"}')
        await settle()
        assert session.core.deadlines.expires_at == until
    stage.clock.now = 5000.0
    session._on_deadline()
    assert await running == endings.TOKEN_EXPIRED
    assert stage.client.close_sent == (4001, "Token expired")


async def test_S3_49_of_a_flood_of_tokens_the_newest_is_checked_after_the_one_under_way() -> None:
    stage = Stage(relay_events=True, expires_at=1100.0)
    begun: list[str] = []
    gate = asyncio.Event()

    async def verify(token: str) -> Caller:
        begun.append(token)
        await gate.wait()
        return Caller(sub="u1", role="learner", expires_at=2000.0 + int(token))

    stage.verify = verify  # type: ignore[method-assign]
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    for number in range(1000):
        stage.client.arrive(json.dumps({"type": "relay.token", "token": str(number)}))
        if number == 0:
            await settle()
    await settle()
    assert begun == ["0"]
    gate.set()
    await settle()
    assert begun == ["0", "999"]
    assert session.core.deadlines.expires_at == 2999.0
    session.end(endings.IDLE)
    await running


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_a_token_ends_by_the_machines_clock_and_nothing_else_does(step: float) -> None:
    unix = FakeClock()
    stage = Stage(expires_at=1400.0, unix=unix)
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    await settle()

    def passes(seconds: float) -> None:
        stage.clock.now += seconds
        unix.now += seconds
        stage.client.unanswered_pings = 0
        stage.engine.arrive('{"type":"rate_limits.updated"}')  # it is alive
        session._on_deadline()

    passes(31.0)
    unix.now += step
    passes(31.0)
    if step < 0:
        assert session.core.deadlines.expires_at == 1400.0 - step
        unix.now -= step  # set right again; the session was not idle meanwhile
        session.core.deadlines.active(stage.clock.now)
        passes(31.0)
        assert session.core.deadlines.expires_at == 1400.0
        session.core.deadlines.active(1390.0)
        passes(1400.0 - stage.clock.now)
    else:
        passes(0.0)
    assert await asyncio.wait_for(running, 30) == endings.TOKEN_EXPIRED


async def test_before_a_token_ends_the_session_the_clock_is_looked_at() -> None:
    unix = FakeClock()
    stage = Stage(expires_at=1020.0, unix=unix)
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    unix.now -= 3600.0
    stage.clock.now += 21.0
    unix.now += 21.0
    session._on_deadline()
    await settle()
    assert not running.done()
    assert session.core.deadlines.expires_at == 1020.0 + 3600.0
    session.end(endings.IDLE)
    await running


async def test_a_cancelled_session_still_closes_both_sides() -> None:
    stage = Stage()
    _, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stage.client.close_sent == (1012, "Service restart")
    assert stage.engine.close_sent is not None


async def test_a_peer_that_never_closes_does_not_hold_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.session.session.CLOSE_SECONDS", 0.01)
    stage = Stage(client=FakePeer(answers_close=False))
    session, running = stage.start()
    await settle()
    session.end(endings.IDLE)
    assert await running == endings.IDLE


async def test_what_a_session_used_is_counted_when_it_ends() -> None:
    stage = Stage()
    _, running = stage.start()
    await settle()
    stage.engine.arrive('{"type":"session.created","session":{"model":"gpt-realtime-2.1"}}')
    usage = (
        '{"input_token_details":{"audio_tokens":100},"output_token_details":{"audio_tokens":50}}'
    )
    stage.engine.arrive('{"type":"response.done","response":{"id":"r1","usage":' + usage + "}}")
    stage.client.leave(1000)
    await running
    text = stage.metrics.render().decode()
    assert 'relay_tokens_total{kind="audio_in"} 100.0' in text
    assert 'relay_tokens_total{kind="audio_out"} 50.0' in text
    assert "relay_cost_dollars_total 0.0064" in text

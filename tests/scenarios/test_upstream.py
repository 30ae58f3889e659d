"""Trouble at the provider leaves a line in the log, a count, and a client who was told."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay.auth.tokens import mint
from relay.realtime.grant import Caller
from relay.realtime.liveness import OWED_PONG_SECONDS, OWED_SECONDS, PING_SECONDS
from relay.session.provider_health import FAILURES
from relay.session.session import Session
from relay.simulator.faults.responses import ResponseFailed, TranscriptionFailed
from tests.scenarios.by_hand import KEY, PATIENCE, End, browser, client, metric, openai, provided
from tests.scenarios.faulty import bad_day
from tests.scenarios.stage import SECRET, Event, Stage, live_sessions
from tests.websocket.ends import PING

Lines = list[MutableMapping[str, Any]]
UPDATED: Event = {"type": "session.updated", "event_id": "e", "session": {"id": "sess_1"}}
CREATE: Event = {"type": "response.create"}


class ShiftedClock:
    """The relay's clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return 1_800_000_000.0 + asyncio.get_running_loop().time() + self.ahead


def put_forward(clock: ShiftedClock, session: Session, seconds: float) -> None:
    """Let so much time pass for the session's deadlines."""
    clock.ahead += seconds
    session._on_deadline()


@contextlib.contextmanager
def logged() -> Iterator[Lines]:
    """The log, in which no key and no message of the provider may stand."""
    with capture_logs() as lines:
        yield lines
    text = json.dumps(lines, default=repr)
    assert KEY not in text
    assert "words of the provider" not in text


def named(lines: Lines, event: str) -> Lines:
    return [line for line in lines if line["event"] == event]


def refusal(event_id: str | None, param: str) -> Event:
    fault = {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": f"words of the provider about {KEY}",
        "param": param,
        "event_id": event_id,
    }
    return {"type": "error", "event_id": "event_9", "error": fault}


async def ready_says(here: Stage, status: int) -> dict[str, str]:
    """Wait until /ready has this status; the reasons of its parts."""
    async with asyncio.timeout(PATIENCE):
        while True:
            now, body = await here.get("/ready")
            if now == status:
                parts: dict[str, str] = json.loads(body).get("parts", {})
                return parts
            await asyncio.sleep(0.02)


async def test_settings_that_the_provider_refuses_are_left_out_and_told(tmp_path: Path) -> None:
    with logged() as lines:
        async with provided(tmp_path) as (here, provider):
            async with client(here, openai(more="&relay=1")) as end:
                call = await provider.call()
                first = await call.until("session.update")
                param = "session.audio.input.transcription.model"
                call.send(refusal(first["event_id"], param))
                retry = await call.until("session.update", 2)
                call.send(UPDATED)
                warning = await end.until("relay.warning")
                end.send({"type": "session.update", "event_id": "mine", "session": {}})
                mine = await call.until("session.update", 3)
                call.send(refusal(mine["event_id"], "session.speed"))
                error = await end.until("error")
            await metric(
                here, 'relay_engine_troubles_total{code="invalid_value",part="settings"} 1'
            )
    assert "transcription" in first["session"]["audio"]["input"]
    assert "transcription" not in retry["session"]["audio"]["input"]
    assert warning["code"] == "setting_refused"
    assert error["error"]["event_id"] == "mine"
    assert KEY not in json.dumps(error)
    (line,) = named(lines, "engine refused settings")
    assert (line["code"], line["param"], line["without"]) == (
        "invalid_value",
        param,
        "transcription",
    )
    assert [one["code"] for one in named(lines, "engine error")] == ["invalid_value"]


@pytest.mark.parametrize("way", ["error", "answer"])
async def test_a_key_in_an_error_after_the_greeting_reaches_no_client(
    tmp_path: Path, way: str
) -> None:
    fault = {"code": "invalid_api_key", "message": f"Incorrect API key provided: {KEY}"}
    failed = {"id": "R1", "status": "failed", "status_details": {"type": "failed", "error": fault}}
    told: Event = {
        "error": {"type": "error", "event_id": "e", "error": fault},
        "answer": {"type": "response.done", "event_id": "e", "response": failed},
    }[way]
    async with provided(tmp_path) as (here, provider), client(here, openai()) as end:
        await end.until("session.created")
        (await provider.call()).send(told)
        shown = await end.until(told["type"])
    assert KEY not in json.dumps(shown)
    assert "invalid_api_key" in json.dumps(shown)


@pytest.mark.parametrize("greets", [True, False])
async def test_how_the_provider_closed_is_logged_and_never_passed_on(
    tmp_path: Path, greets: bool
) -> None:
    with logged() as lines:
        async with provided(tmp_path) as (here, provider):
            provider.greets = greets
            async with client(here, openai()) as end:
                call = await provider.call()
                call.say_goodbye(4000, f"invalid_request_error.model_not_found {KEY}")
                code, reason = await end.ended()
    assert (code, reason) == (1011, "OpenAI connection closed")
    (line,) = named(lines, "engine closed")
    assert line["code"] == 4000
    assert line["reason"] == "invalid_request_error.model_not_found [masked]"
    assert "session_id" in line


async def test_an_engine_without_a_pong_ends_as_timed_out(tmp_path: Path) -> None:
    clock = ShiftedClock()
    async with provided(tmp_path, clock) as (here, provider), client(here, valid_by(clock)) as end:
        await end.until("session.created")
        call = await provider.call()
        (session,) = live_sessions(here.app)
        for count in (1, 2):
            put_forward(clock, session, PING_SECONDS)
            await pinged(call, count)
            await answered(session)
        assert session.status().ending is None
        call.pongs = False
        put_forward(clock, session, PING_SECONDS)
        await pinged(call, 3)
        until_ended(clock, session, PING_SECONDS)
        assert await end.ended() == (1011, "OpenAI connection timed out")


async def test_an_engine_that_owes_an_answer_and_is_gone_is_noticed_sooner(tmp_path: Path) -> None:
    clock = ShiftedClock()
    async with provided(tmp_path, clock) as (here, provider), client(here, valid_by(clock)) as end:
        await end.until("session.created")
        call = await provider.call()
        call.pongs = False
        (session,) = live_sessions(here.app)
        end.send(CREATE)
        await call.until("response.create")
        put_forward(clock, session, OWED_SECONDS)
        await pinged(call, 1)
        until_ended(clock, session, OWED_PONG_SECONDS)
        assert await end.ended() == (1011, "OpenAI connection timed out")
        error = end.events[-1]["error"]
    assert (error["type"], error["code"]) == ("server_error", "engine_timed_out")


def until_ended(clock: ShiftedClock, session: Session, seconds: float) -> None:
    """Let so much time pass, and again where a busy machine had the verdict put off."""
    put_forward(clock, session, seconds)
    if session.status().ending is None:
        put_forward(clock, session, OWED_PONG_SECONDS)
    assert session.status().ending == "engine_timed_out"


def valid_by(clock: ShiftedClock) -> str:
    """The address of a caller whose token is valid by this clock."""
    caller = Caller(sub="ada", role="learner", expires_at=clock() + 3600)
    return f"/v1/realtime?token={mint(caller, SECRET, clock())}"


async def pinged(call: End, count: int) -> None:
    """Wait until the provider has read so many pings."""
    async with asyncio.timeout(PATIENCE):
        while call.kinds.count(PING) < count:
            await asyncio.sleep(0.005)


async def answered(session: Session) -> None:
    """Wait until the relay has read the provider's pong."""
    wire: Any = session._engine.connection
    async with asyncio.timeout(PATIENCE):
        while wire._connection._pings.unanswered:
            await asyncio.sleep(0.005)


async def test_answers_that_fail_are_logged_and_counted(tmp_path: Path) -> None:
    fault = ResponseFailed(code="insufficient_quota")
    async with bad_day(tmp_path, fault) as here:
        async with here.call() as caller:
            with capture_logs() as lines:
                await caller.says(200)
                await caller.hears(lambda: caller.of("response.done"))
        (line,) = named(lines, "answer failed")
        assert line["code"] == "insufficient_quota"


async def test_a_turn_that_nobody_understood_is_stored_as_failed(tmp_path: Path) -> None:
    async with bad_day(tmp_path, TranscriptionFailed()) as here, here.call() as caller:
        with capture_logs() as lines:
            await caller.says(200)
            await caller.hears(
                lambda: caller.of("conversation.item.input_audio_transcription.failed")
            )
        await caller.at_rest()
    assert ("user", "", "failed") in here.told(caller)
    assert len(named(lines, "transcription failed")) == 1


async def test_ready_says_when_the_provider_refuses_everybody(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with provided(tmp_path) as (here, provider):
            provider.refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
            for number in range(FAILURES):
                assert await ready_says(here, 200) == {}
                async with client(here, browser(f"caller-{number}")) as end:
                    await end.ended()
            parts = await ready_says(here, 503)
            assert parts == {"provider": "the provider refuses everybody: HTTP 503"}
            provider.refusal = None
            async with client(here, openai()) as end:
                await end.until("session.created")
                assert await ready_says(here, 200) == {}
    assert len(named(lines, "engine unreachable")) == FAILURES
    assert len(named(lines, "provider refuses everybody")) == 1


async def test_a_refused_caller_is_logged_with_the_cause(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with provided(tmp_path) as (here, _):
            async with client(here, "/v1/realtime?token=not.a.token") as end:
                assert (await end.ended())[0] == 3000
            await metric(here, 'relay_refusals_total{cause="not a token"} 1.0')
    (line,) = named(lines, "session ended")
    assert (line["ending"], line["cause"]) == ("unauthorized", "not a token")

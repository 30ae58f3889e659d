"""Every ending of the table, over sockets: both sides are closed, each once, within a second."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay.realtime import endings
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.endings import Ending
from relay.realtime.events import encode
from relay.session.directory import MemorySessionDirectory
from relay.websocket.closing import CLOSE_GRACE, FAIL_GRACE
from tests.own_time import own_time
from tests.scenarios.by_hand import End, Provider, client, openai, provided
from tests.scenarios.stage import AGENT, Stage, live_sessions, token
from tests.websocket.ends import BINARY, TEXT

SOON = 0.8
"""Seconds to a deadline that a test sets up; nothing waits longer for one."""

HOST = 0.5
"""Seconds that the tests themselves may take; the promise is `FAIL_GRACE + CLOSE_GRACE`."""

VIEWS: dict[str, ClientDialect] = {"browser": BrowserDialect(), "openai": GaDialect()}


@dataclass(frozen=True, slots=True)
class Call:
    """One call in progress: its relay and both its ends."""

    here: Stage
    door: str
    client: End
    provider: End | None


Way = Callable[[Call], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Row:
    """One way to an ending: what happens once the call is greeted, under which settings.

    `told` says whether the client sees the close frame: a slow one may, if it reads in time. `mute`
    is a provider that never greets.
    """

    ending: Ending
    way: Way
    settings: dict[str, Any] = field(default_factory=dict)
    told: bool | None = True
    mute: bool = False


async def wait(call: Call) -> None:
    """It ends by itself."""


async def client_leaves(call: Call) -> None:
    call.client.say_goodbye(1000)


async def client_vanishes(call: Call) -> None:
    call.client.raw.reset()


async def client_breaks_the_protocol(call: Call) -> None:
    call.client.write(TEXT, b"{}", rsv=4)


async def client_sends_what_cannot_be_read(call: Call) -> None:
    call.client.raw.write(b"\xff" * 64)


async def client_sends_binary(call: Call) -> None:
    call.client.write(BINARY, b"\x00")


async def client_sends_no_text(call: Call) -> None:
    call.client.write(TEXT, b"\xff\xfe")


async def client_sends_too_much(call: Call) -> None:
    call.client.raw.write(b"\x81\xff" + (1 << 30).to_bytes(8) + bytes(4))


async def client_says_nothing_to_pings(call: Call) -> None:
    call.client.pongs = False


async def client_does_not_read(call: Call) -> None:
    """It reads again, what is there, as soon as the provider was told."""
    assert call.provider is not None
    call.client.reads.clear()
    flood = asyncio.ensure_future(_flood(call.provider))
    async with asyncio.timeout(20):
        while not call.provider.closes:
            await asyncio.sleep(0.005)
    flood.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await flood
    call.client.reads.set()


async def _flood(provider: End) -> None:
    word = {"type": "response.output_text.delta", "item_id": "A1", "delta": "word " * 12_000}
    with contextlib.suppress(ConnectionError):
        while not provider.closes:
            provider.send(word)
            await provider.raw.writer.drain()


async def engine_leaves(call: Call) -> None:
    assert call.provider is not None
    call.provider.say_goodbye(1001, "maximum duration reached")


async def engine_vanishes(call: Call) -> None:
    assert call.provider is not None
    call.provider.raw.reset()


async def engine_breaks_the_protocol(call: Call) -> None:
    assert call.provider is not None
    call.provider.write(TEXT, b"{}", rsv=4)


async def a_rule_fails(call: Call) -> None:
    """Nothing that comes from outside does this; so the rules are broken by hand."""
    for session in live_sessions(call.here.app):
        session.core.transcript.observe = None  # type: ignore[method-assign,assignment]
    assert call.provider is not None
    call.provider.send({"type": "response.done"})


async def the_server_stops(call: Call) -> None:
    await call.here.app.drain(0.0)


ROWS: dict[str, Row] = {
    "client leaves": Row(endings.CLIENT_LEFT, client_leaves),
    "client vanishes": Row(endings.CLIENT_LOST, client_vanishes, told=False),
    "reserved bits": Row(endings.PROTOCOL_ERROR, client_breaks_the_protocol),
    "garbage": Row(endings.PROTOCOL_ERROR, client_sends_what_cannot_be_read),
    "binary": Row(endings.BINARY_REFUSED, client_sends_binary),
    "not UTF-8": Row(endings.NOT_UTF8, client_sends_no_text),
    "too much": Row(endings.FRAME_TOO_BIG, client_sends_too_much),
    "time limit": Row(
        endings.SESSION_TIME_LIMIT, wait, {"connection_timeout": int(4 * SOON * 1000)}
    ),
    "idle": Row(endings.IDLE, wait, {"idle_timeout": SOON}),
    "token expires": Row(endings.TOKEN_EXPIRED, wait, {"clock": "late"}),
    "no pong": Row(endings.CONNECTION_LOST, client_says_nothing_to_pings),
    "slow client": Row(endings.CLIENT_TOO_SLOW, client_does_not_read, told=None),
    "engine leaves": Row(endings.ENGINE_CLOSED, engine_leaves),
    "engine vanishes": Row(endings.ENGINE_CLOSED, engine_vanishes),
    "engine breaks the protocol": Row(endings.ENGINE_CLOSED, engine_breaks_the_protocol),
    "mute engine": Row(endings.ENGINE_TIMED_OUT, wait, {"engine_timeout": SOON}, mute=True),
    "our fault": Row(endings.INTERNAL_ERROR, a_rule_fails),
    "restart": Row(endings.SERVICE_RESTART, the_server_stops),
}
MANNERS = list(itertools.product(VIEWS, (True, False), (True, False)))
"""At each door: whether the client, and whether the engine, answers a close."""


@pytest.mark.parametrize("name", ROWS)
async def test_S3_13_both_sides_are_closed_once_and_within_a_second(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the client, the engine or both never answer the close."""
    row = ROWS[name]
    if row.ending == endings.CONNECTION_LOST:
        monkeypatch.setattr("relay.realtime.deadlines.PING_SECONDS", SOON / 3)
    if row.ending == endings.CLIENT_TOO_SLOW:
        monkeypatch.setattr("relay.realtime.deadlines.SLOW_SECONDS", SOON)
    settings = dict(row.settings)
    expires = int(time.time()) + 60
    clock = near(expires) if settings.pop("clock", None) else None
    async with provided(tmp_path, clock, **settings) as (here, provider):
        provider.greets = not row.mute
        together = asyncio.Barrier(len(MANNERS))
        async with asyncio.TaskGroup() as group:
            for number, (door, client_answers, engine_answers) in enumerate(MANNERS):
                caller = Caller(f"user-{number}", door, client_answers, engine_answers)
                group.create_task(one_call(here, provider, row, caller, together))
        await here.emptied()
        told = (await here.get("/metrics"))[1]
        for door in VIEWS:
            line = f'relay_sessions_ended_total{{door="{door}",ending="{row.ending.name}"}} 4.0'
            assert line in told


def near(expires: int) -> Callable[[], float]:
    """A clock by which a token that expires then has only `SOON` left."""
    began = time.monotonic()
    return lambda: expires - SOON + time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, where, and who answers a close."""

    sub: str
    door: str
    client_answers: bool
    engine_answers: bool

    @property
    def target(self) -> str:
        """Address and token."""
        bearer = token(self.sub, ttl=60)
        if self.door == "browser":
            return f"/?token={bearer}&agent_id={AGENT}"
        return f"/v1/realtime?token={bearer}"


async def one_call(
    here: Stage, provider: Provider, row: Row, caller: Caller, together: asyncio.Barrier
) -> None:
    async with client(here, caller.target, receive_buffer=4096) as end:
        engine = await provider.call(caller.sub)
        end.answers, engine.answers = caller.client_answers, caller.engine_answers
        if row.way is not wait:  # it may be over before
            await end.until("session.created")
        await together.wait()
        began, own_began = asyncio.get_running_loop().time(), own_time()
        await row.way(Call(here, caller.door, end, engine))
        over = await relay_let_go(here, caller.sub)
        kept_waiting = over - began - (own_time() - own_began)
        seen = await end.ended(), await engine.ended()
        farewell = VIEWS[caller.door].farewell(row.ending)
        if row.told or (row.told is None and seen[0][0] != 1006):
            assert seen[0] == (farewell.code, farewell.reason), caller
            last = end.texts[len(end.texts) - len(farewell.events) :]
            assert last == [encode(event) for event in farewell.events], caller
        if "engine" not in row.way.__name__:
            assert seen[1] == (1000, "Client disconnected"), caller
        firsts = [at for at in (end.began, engine.began) if at is not None]
        first = began if row.way in AT_ONCE else min(firsts)
        assert end.gone_at is not None
        assert engine.gone_at is not None
        # Who reads slowly sees the end when it comes to it; the relay is done before.
        took = max(over, engine.gone_at, end.gone_at if row.told is not None else 0.0) - first
        assert took <= FAIL_GRACE + CLOSE_GRACE + HOST + kept_waiting, (caller, took)


async def relay_let_go(here: Stage, sub: str) -> float:
    """When the relay had closed both sides of this user's session."""
    directory = here.app.directory
    assert isinstance(directory, MemorySessionDirectory)
    async with asyncio.timeout(20):
        while directory._of_user[sub]:
            await asyncio.sleep(0.002)
    return asyncio.get_running_loop().time()


AT_ONCE = {row.way for row in ROWS.values()} - {
    wait,
    client_says_nothing_to_pings,
    client_does_not_read,
}
"""Ways that end the session at that very moment: the second counts from there."""


def test_a_second_is_a_second() -> None:
    """Whoever broke the protocol is given up first, and then the other side."""
    assert FAIL_GRACE + CLOSE_GRACE <= 1.0


# Who is not let in.

BEARER = "token={token}"
S3 = f"/?{BEARER}&agent_id={AGENT}"
OPENAI = f"/v1/realtime?{BEARER}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An address that is refused; `taken` when somebody else is in already."""

    ending: Ending
    targets: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    taken: bool = False


REFUSALS = (
    Refusal(endings.AT_CAPACITY, (S3, OPENAI), {"max_connections": 1}, taken=True),
    Refusal(endings.TOO_MANY_SESSIONS, (S3, OPENAI), {"max_sessions_per_user": 1}, taken=True),
    Refusal(endings.TOO_MANY_FROM_ADDRESS, (S3, OPENAI), {"max_connections_per_ip": 1}, taken=True),
    Refusal(endings.TOO_MANY_REQUESTS, (S3, OPENAI), {"max_connects_per_minute": 1}, taken=True),
    Refusal(endings.MISSING_PARAMETERS, (f"/?{BEARER}", f"/?agent_id={AGENT}", "/x")),
    Refusal(endings.UNAUTHORIZED, (f"/?token=x&agent_id={AGENT}", "/v1/realtime", "/realtime")),
    Refusal(
        endings.TOKEN_TOO_LONG,
        (f"/?token={'x' * 8193}&agent_id={AGENT}", f"/v1/realtime?token={'x' * 15_000}"),
    ),
    Refusal(endings.FORBIDDEN, tuple(f"{door}&conversation_id=x" for door in (S3, OPENAI))),
    Refusal(endings.NO_PROVIDER_KEY, (S3, OPENAI), {"openai_api_key": None}),
    Refusal(endings.UNKNOWN_PATH, (f"/v1/nothing?{BEARER}", f"/openai/x?{BEARER}")),
    Refusal(endings.UNSUPPORTED_INTENT, (f"{OPENAI}&intent=transcription",)),
    Refusal(endings.UNSUPPORTED_CALL, (f"{OPENAI}&call_id=rtc_1",)),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.ending.name)
async def test_S3_7_who_is_not_let_in_is_closed_once_and_within_a_second(
    tmp_path: Path, refusal: Refusal
) -> None:
    """After a completed handshake, whatever the reason."""
    async with provided(tmp_path, **refusal.settings) as (here, provider):
        async with contextlib.AsyncExitStack() as others:
            if refusal.taken:
                other = await others.enter_async_context(client(here, filled(S3)))
                await other.until("session.created")
            calls = len(provider.calls)
            async with asyncio.TaskGroup() as group:
                for target, answers in itertools.product(refusal.targets, (True, False)):
                    group.create_task(refused_call(here, refusal.ending, target, answers))
            assert len(provider.calls) == calls, "nobody was called for them"
        await here.emptied()


async def refused_call(here: Stage, ending: Ending, target: str, answers: bool) -> None:
    async with client(here, filled(target)) as end:
        end.answers = answers
        began = asyncio.get_running_loop().time()
        seen = await end.ended()
        door = "openai" if target.startswith(("/v1", "/openai", "/real")) else "browser"
        farewell = VIEWS[door].farewell(ending)
        assert seen == (farewell.code, farewell.reason), target
        assert end.texts == [encode(event) for event in farewell.events]
        assert end.gone_at is not None
        assert end.gone_at - began <= CLOSE_GRACE + HOST


def filled(target: str) -> str:
    """The address with a good token in it."""
    return target.replace("{token}", token())


def test_every_ending_of_the_table_was_met() -> None:
    met = {row.ending for row in ROWS.values()} | {refusal.ending for refusal in REFUSALS}
    at_s3 = BrowserDialect().farewell(endings.AT_CAPACITY)
    assert (at_s3.code, at_s3.reason) == (endings.AT_CAPACITY_BROWSER.code, "Server at capacity")
    # test_budgets, test_coach_*, test_replaced, test_auth_down, tests/session/test_engine_gone,
    # tests/websocket/test_turns, tests/scenarios/test_memory, tests/session/test_server
    elsewhere = {
        *(endings.BUDGET_EXHAUSTED, endings.ENDED_BY_COACH, endings.TOO_MANY_FRAMES),
        *(endings.REPLACED, endings.AUTH_UNAVAILABLE, endings.IDLE_UNHEARD),
        *(endings.TOO_MANY_RECONNECTS, endings.ENGINE_REFUSED, endings.OUT_OF_MEMORY),
    }
    assert set(endings.ALL) - met == {endings.AT_CAPACITY_BROWSER} | elsewhere


OWN_CODES = (1000, 1001, 1002, 1011, 1013, 4029, 4711)


async def test_a_clients_own_code_is_logged_and_is_no_ending_of_ours(tmp_path: Path) -> None:
    """Some clients close with 1011 when they fail themselves."""
    with capture_logs() as lines:
        async with provided(tmp_path) as (here, _):
            for code in OWN_CODES:
                async with client(here, openai()) as end:
                    await end.until("session.created")
                    end.say_goodbye(code)
                    assert await end.ended() == (code, "")
    ended = [line for line in lines if line["event"] == "session ended"]
    assert sorted(line["code"] for line in ended) == list(OWN_CODES)
    assert {line["ending"] for line in ended} == {"client_left"}

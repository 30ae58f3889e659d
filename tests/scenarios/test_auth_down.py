"""The authentication server freezes, and tokens come in floods: who waits, and who is let in."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from pydantic import SecretStr

from relay.auth.lookups import FAILURES
from relay.session.renewal import BURST
from tests.auth.supabase import SERVICE_KEY, FakeAuth, ec_key, public_row, serve
from tests.scenarios.by_hand import End, Provider, client, metric, provided
from tests.scenarios.stage import AGENT, SECRET, Stage, live_sessions
from tests.websocket.ends import Raw, upgrade

DOWN = (1013, "Authentication unavailable")
ISSUER_KEY = ec_key("issuer")


class Users:
    """A small Supabase whose users can be asked about."""

    def __init__(self, auth: FakeAuth) -> None:
        self.auth = auth

    def token(self, ttl: float = 3600, sub: str | None = None, key: Any = ISSUER_KEY) -> str:
        """A token of a user who exists; one with the HS256 `key` that is given is forged."""
        sub, now = sub or str(uuid.uuid4()), int(time.time())
        claims: dict[str, Any] = {
            "iss": f"{self.auth.url}/auth/v1",
            "aud": "authenticated",
            "sub": sub,
        }
        claims |= {"iat": now, "exp": now + ttl, "jti": str(uuid.uuid4())}
        algorithm, headers = ("HS256", None) if isinstance(key, str) else ("ES256", {"kid": "e"})
        bearer = jwt.encode(claims, key, algorithm=algorithm, headers=headers)
        self.auth.users[bearer] = {"id": sub}
        return bearer


@asynccontextmanager
async def relay(
    folder: Path, check: str = "user", **settings: Any
) -> AsyncIterator[tuple[Stage, Provider, Users]]:
    auth = FakeAuth(keys=[public_row(ISSUER_KEY, "e")])
    server = await serve(auth)
    given: dict[str, Any] = {
        "supabase_url": auth.url,
        "supabase_service_role_key": SecretStr(SERVICE_KEY),
        "supabase_auth_check": check,
        **settings,
    }
    try:
        async with provided(folder, **given) as (here, provider):
            yield here, provider, Users(auth)
    finally:
        if auth.gate is not None:
            auth.gate.set()
        await server.close()


def openai(bearer: str) -> str:
    return f"/v1/realtime?token={bearer}&relay=1"


def browser(bearer: str) -> str:
    return f"/?token={bearer}&agent_id={AGENT}"


async def outcome(here: Stage, target: str) -> tuple[int, str] | None:
    """How this caller is refused; None: they are let in."""
    async with client(here, target) as end:
        while "session.created" not in end.types and not end.gone.is_set():
            await asyncio.sleep(0.005)
        return None if "session.created" in end.types else await end.ended()


async def round_trip(end: End, call: End) -> None:
    count = call.types.count("input_audio_buffer.clear") + 1
    end.send({"type": "input_audio_buffer.clear"})
    await call.until("input_audio_buffer.clear", count)


# ---------------------------------------------------------------------------------- a frozen server


@pytest.mark.parametrize("door", [openai, browser])
async def test_callers_are_told_at_once_and_let_in_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: Any
) -> None:
    monkeypatch.setattr("relay.auth.lookups.PAUSE_SECONDS", 0.5)
    async with relay(tmp_path) as (here, provider, users):
        async with client(here, openai(users.token())) as old:
            await old.until("relay.session")
            call = provider.calls[0]
            users.auth.gate = asyncio.Event()
            monkeypatch.setattr("relay.auth.jwks.MAX_SECONDS", 0.2)
            before = len(users.auth.user_asked)
            for _ in range(FAILURES):
                assert await outcome(here, door(users.token())) == DOWN
            began = time.monotonic()
            for _ in range(10):
                assert await outcome(here, door(users.token())) == DOWN
            pauses = (time.monotonic() - began) / 0.5
            asked = len(users.auth.user_asked) - before
            assert asked <= FAILURES + 1 + pauses, "the others have not asked"
            await round_trip(old, call)
            assert old.closes == []

            users.auth.gate.set()
            monkeypatch.setattr("relay.auth.jwks.MAX_SECONDS", 30.0)
            async with asyncio.timeout(30):
                while await outcome(here, door(users.token())) is not None:
                    await asyncio.sleep(0.05)
            for _ in range(5):
                assert await outcome(here, door(users.token())) is None
        assert old.closes == []


async def test_the_api_says_that_it_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relay(tmp_path) as (here, _, users):
        assert (await here.get(f"/api/sessions?token={users.token()}"))[0] == 200
        users.auth.gate = asyncio.Event()
        monkeypatch.setattr("relay.auth.jwks.MAX_SECONDS", 0.2)
        for _ in range(FAILURES + 3):
            status, _ = await here.get(f"/api/sessions?token={users.token()}")
            assert status == 503
        assert len(users.auth.user_asked) <= 1 + FAILURES
        await metric(here, f'relay_auth_checks_total{{outcome="unavailable"}} {FAILURES + 3}.0')


async def test_with_user_or_local_a_valid_token_suffices_while_it_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relay(tmp_path, "user-or-local") as (here, _, users):
        assert await outcome(here, openai(users.token())) is None
        users.auth.gate = asyncio.Event()
        monkeypatch.setattr("relay.auth.jwks.MAX_SECONDS", 0.2)
        for _ in range(FAILURES + 3):
            assert await outcome(here, openai(users.token())) is None
        forged = users.token(key=ec_key("somebody else"))
        assert await outcome(here, browser(forged)) == (4001, "Unauthorized")
        users.auth.gate.set()


async def test_with_user_or_local_a_deleted_user_is_refused(tmp_path: Path) -> None:
    async with relay(tmp_path, "user-or-local") as (here, _, users):
        bearer = users.token()
        users.auth.users.clear()
        assert await outcome(here, browser(bearer)) == (4001, "Unauthorized")


# ------------------------------------------------------------------------------- floods of tokens


async def test_a_flood_of_fresh_tokens_costs_a_few_questions_and_nobody_a_login(
    tmp_path: Path,
) -> None:
    async with relay(tmp_path) as (here, provider, users):
        sub = str(uuid.uuid4())
        async with client(here, openai(users.token(ttl=600, sub=sub))) as end:
            await end.until("relay.session")
            call = provider.calls[0]
            before, began = len(users.auth.user_asked), time.monotonic()
            flood = [users.token(ttl=700 + n, sub=sub) for n in range(500)]
            for number, bearer in enumerate(flood):
                end.send({"type": "relay.token", "token": bearer})
                if number % 50 == 0:
                    assert await outcome(here, openai(users.token())) is None
            await round_trip(end, call)
            session = live_sessions(here.app)[0]
            newest = jwt.decode(flood[-1], options={"verify_signature": False})["exp"]
            async with asyncio.timeout(30):
                while session.core.deadlines.expires_at < newest - 1:
                    await asyncio.sleep(0.02)
            others = 10
            asked = len(users.auth.user_asked) - before - others
            assert asked <= BURST + 2 + (time.monotonic() - began)


async def test_a_token_that_cannot_be_checked_now_is_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.session.renewal.RETRY_SECONDS", 0.05)
    async with relay(tmp_path) as (here, _, users):
        sub = str(uuid.uuid4())
        async with client(here, openai(users.token(ttl=600, sub=sub))) as end:
            await end.until("relay.session")
            (session,) = live_sessions(here.app)
            old = session.core.deadlines.expires_at
            users.auth.user_answer = web.Response(status=503)
            end.send({"type": "relay.token", "token": users.token(ttl=900, sub=sub)})
            await metric(here, 'relay_auth_checks_total{outcome="unavailable"} 1.0')
            assert session.core.deadlines.expires_at == pytest.approx(old, abs=1)
            users.auth.user_answer = None
            async with asyncio.timeout(30):
                while session.core.deadlines.expires_at < old + 200:
                    await asyncio.sleep(0.02)


async def test_forged_hs256_tokens_cost_no_question_where_no_secret_is_set(tmp_path: Path) -> None:
    async with relay(tmp_path, supabase_jwt_secret=None) as (here, _, users):
        assert await outcome(here, browser(users.token())) is None
        before = len(users.auth.user_asked)
        forged = users.token(key=SECRET)  # the server would even confirm it
        for _ in range(20):
            assert await outcome(here, browser(forged)) == (4001, "Unauthorized")
        assert (await here.get(f"/api/sessions?token={forged}"))[0] == 401
        assert len(users.auth.user_asked) == before


# ------------------------------------------------------------------------- tokens that are no text

PATHS = [
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/x"),
    ("GET", "/api/sessions/x/transcript"),
    ("GET", "/api/conversations"),
    ("GET", "/api/conversations/x/transcript"),
    ("POST", "/api/sessions/x/pause"),
    ("POST", "/api/sessions/x/takeover"),
    ("POST", "/api/sessions/x/summary"),
    ("POST", "/api/conversations/x/summary"),
]


@pytest.mark.parametrize("bearer", [b"\xff", b"\xc3\xbf", b"a.b\xff.c", b"\xed\xa0\x80"])
async def test_a_token_that_is_no_text_is_401_on_every_path(tmp_path: Path, bearer: bytes) -> None:
    async with relay(tmp_path, "user") as (here, _, users):
        for method, path in PATHS:
            raw = await Raw.connect(here.app.http.port)
            raw.write(
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n".encode(),
                b"Authorization: Bearer " + bearer + b"\r\nConnection: close\r\n\r\n{}",
            )
            answer = await raw.read_rest()
            raw.writer.close()
            assert answer.startswith(b"HTTP/1.1 401 "), (path, answer)
        assert users.auth.user_asked == []


@pytest.mark.parametrize("bearer", [b"\xff", b"\xc3\xbf", b"a.b\xff.c"])
@pytest.mark.parametrize(("path", "code"), [("/v1/realtime", 3000), (f"/?agent_id={AGENT}", 4001)])
async def test_a_token_that_is_no_text_is_refused_at_the_doors(
    tmp_path: Path, path: str, code: int, bearer: bytes
) -> None:
    async with relay(tmp_path) as (here, _, _):
        raw = await Raw.connect(here.app.listener.port)
        asked = upgrade(here.app.listener.port, path, Authorization="Bearer HERE")
        raw.write(asked.replace(b"HERE", bearer))
        assert b" 101 " in await raw.read_head()
        end = End(raw, masked=True)
        await end.listen()
        assert (await end.ended())[0] == code
        await metric(here, 'ending="unauthorized"} 1.0')
        raw.writer.transport.abort()

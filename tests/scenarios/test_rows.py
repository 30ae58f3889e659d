"""Promises of S3 that want a whole relay, and a provider and clients that misbehave on demand."""

import asyncio
import base64
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from relay.parts.simple import Script
from relay.session.directory import MemorySessionDirectory
from tests.auth.supabase import SERVICE_KEY, FakeAuth, ec_key, public_row, rsa_key, serve
from tests.own_time import own_time
from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import (
    KEY,
    End,
    Provider,
    browser,
    client,
    metric,
    openai,
    provided,
    spoken,
)
from tests.scenarios.stage import (
    SECRET,
    SILENCE,
    SPEECH,
    Stage,
    live_sessions,
    new_id,
    stage,
    token,
)
from tests.websocket.ends import PING, TEXT, frame

SCRIPT = Script(heard=("Good morning.",), replies=("Good morning to you.",))


# ------------------------------------------------------------------------------- who comes in


@asynccontextmanager
async def supabase() -> AsyncIterator[FakeAuth]:
    """A small Supabase on a real socket."""
    auth = FakeAuth()
    server = await serve(auth)
    try:
        yield auth
    finally:
        await server.close()


def supabase_token(auth: FakeAuth, key: Any, alg: str, kid: str | None = None, **more: Any) -> str:
    """A user's token as that Supabase signs it."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": f"{auth.url}/auth/v1",
        "aud": "authenticated",
        "sub": str(uuid.uuid4()),
    }
    claims |= {"iat": now, "exp": now + 3600, "role": "authenticated", **more}
    return jwt.encode(claims, key, algorithm=alg, headers={"kid": kid} if kid else None)


async def test_S3_5_every_kind_of_supabase_token_gets_in_also_after_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.auth.jwks.REFETCH_PAUSE", 0.0)
    old, other, new = ec_key("old"), rsa_key("other"), ec_key("new")
    async with supabase() as auth, stage(tmp_path, supabase_url=auth.url) as here:
        auth.keys = [public_row(old, "old"), public_row(other, "other")]
        for bearer in (
            supabase_token(auth, SECRET, "HS256"),
            supabase_token(auth, old, "ES256", "old"),
            supabase_token(auth, other, "RS256", "other"),
        ):
            async with here.s3_client(token=bearer) as line:
                await line.until("session.created")
        rotated = supabase_token(auth, new, "ES256", "new")
        async with here.s3_client(token=rotated) as line:
            assert await line.closed() == (4001, "Unauthorized"), "nobody knows this key yet"
        auth.keys = [public_row(new, "new")]
        async with here.s3_client(token=rotated) as line:
            await line.until("session.created")
        async with here.s3_client(token=supabase_token(auth, old, "ES256", "old")) as line:
            assert await line.closed() == (4001, "Unauthorized"), "and the old one is gone"


async def test_S3_4_a_token_of_another_issuer_is_refused(tmp_path: Path) -> None:
    async with supabase() as auth, stage(tmp_path, supabase_url=auth.url) as here:
        elsewhere = supabase_token(auth, SECRET, "HS256", iss="https://other.example/auth/v1")
        async with here.s3_client(token=elsewhere) as line:
            assert await line.closed() == (4001, "Unauthorized")


async def test_S3_6_a_user_who_was_deleted_is_refused_with_a_good_token(tmp_path: Path) -> None:
    async with supabase() as auth:
        asked: dict[str, Any] = {"supabase_url": auth.url, "supabase_auth_check": "user"}
        service = SecretStr(SERVICE_KEY)
        async with stage(tmp_path, **asked, supabase_service_role_key=service) as here:
            sub = str(uuid.uuid4())
            bearer = supabase_token(auth, SECRET, "HS256", sub=sub)
            auth.users[bearer] = {"id": sub}
            async with here.s3_client(token=bearer) as line:
                await line.until("session.created")
            auth.users.clear()
            async with here.s3_client(token=bearer) as line:
                assert await line.closed() == (4001, "Unauthorized")


async def test_S3_10_a_store_that_fails_during_set_up_is_1011(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("relay.stores.sqlite.store.SqliteStore.owner", broken)
    async with provided(tmp_path) as (here, provider):
        async with client(here, browser(conversation_id=new_id())) as end:
            assert await end.ended() == (1011, "Internal server error")
        assert provider.calls == []


async def test_S3_43_a_client_that_offers_compression_is_not_taken_up_on_it(tmp_path: Path) -> None:
    async with (
        stage(tmp_path, SCRIPT) as here,
        here._connect(here.voice + browser(), compression="deflate") as line,
    ):
        request, response = line.socket.request, line.socket.response
        assert request is not None
        assert response is not None
        assert "permessage-deflate" in request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in response.headers
        await line.speak()
        await line.until("response.done")


async def test_S3_43_exactly_ten_mebibytes_go_through_and_one_byte_more_does_not(
    tmp_path: Path,
) -> None:
    frame = '{"type":"input_audio_buffer.append","audio":"%s"}'
    room = 10 * 1024 * 1024 - len(frame % "")
    whole = frame % ("A" * (room - room % 4)) + " " * (room % 4)
    assert len(whole) == 10 * 1024 * 1024
    async with provided(tmp_path) as (here, provider), here._connect(here.voice + openai()) as line:
        await line.until("session.created")
        await line.socket.send(whole)
        got = await (await provider.call()).until("input_audio_buffer.append")
        assert len(got["audio"]) == room - room % 4
        with contextlib.suppress(ConnectionClosed):
            await line.socket.send(whole + " ")
        assert (await line.closed())[0] == 1009
        assert line.events[-1]["error"]["code"] == "frame_too_big", "and it is told why"


# ------------------------------------------------------------------------- the provider's side


async def test_S3_18_address_model_and_key_are_ours_and_there_is_no_beta_header(
    tmp_path: Path,
) -> None:
    async with (
        provided(tmp_path, openai_realtime_model="gpt-ours") as (here, provider),
        client(here, browser()) as end,
    ):
        await end.until("session.created")
        call = await provider.call()
        assert call.target == "/v1/realtime?model=gpt-ours", "a base URL and model of our own"
        head = call.head.decode().lower()
        assert f"\r\nauthorization: bearer {KEY}\r\n" in head
        assert "openai-beta" not in head
        assert "sec-websocket-protocol" not in head
        assert "sec-websocket-extensions" not in head


@pytest.mark.parametrize("voice", ["", "verse"])
async def test_S3_19_the_s3_door_configures_the_session_once(tmp_path: Path, voice: str) -> None:
    async with provided(tmp_path) as (here, provider), client(here, browser(voice=voice)) as end:
        await end.until("session.created")
        call = await provider.call()
        first = await call.until("session.update")
        end.send({"type": "response.create"})
        await call.until("response.create")
        assert call.types == ["session.update", "response.create"], "once, and before all else"
    pcm = {"type": "audio/pcm", "rate": 24000}
    turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300}
    assert first["session"] == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": pcm,
                "transcription": {"model": "gpt-realtime-whisper"},
                "turn_detection": {**turns, "silence_duration_ms": 500},
            },
            "output": {"format": pcm, "voice": voice or "alloy"},
        },
        "max_output_tokens": 4096,
    }


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (name, name)
        for name in [
            "alloy",
            "ash",
            "ballad",
            "coral",
            "echo",
            "sage",
            "shimmer",
            "verse",
            "marin",
            "cedar",
        ]
    ]
    + [("", "alloy"), ("siren", "alloy")],
)
async def test_S3_2_S3_45_the_voice_that_was_asked_for_is_passed_upstream(
    tmp_path: Path, asked: str, given: str
) -> None:
    async with provided(tmp_path) as (here, provider), client(here, browser(voice=asked)) as end:
        await end.until("session.created")
        update = await (await provider.call()).until("session.update")
        assert update["session"]["audio"]["output"]["voice"] == given


CODES = [1000, 1001, 1008, 1011, 1013, 3000, 4000, 4001, 4999]


@pytest.mark.parametrize("code", CODES)
async def test_S3_11_S3_12_whatever_the_providers_code_the_clients_is_1011(
    tmp_path: Path, code: int
) -> None:
    async with (
        provided(tmp_path) as (here, provider),
        client(here, browser("ada")) as old,
        client(here, openai("grace")) as new,
    ):
        for end, sub in ((old, "ada"), (new, "grace")):
            await end.until("session.created")
            (await provider.call(sub)).say_goodbye(code, f"insufficient_quota {KEY}")
            assert await end.ended() == (1011, "OpenAI connection closed")
        assert old.events[-1] == {"type": "error", "error": "OpenAI connection error"}
        assert new.events[-1]["error"]["code"] == "engine_closed"


ECHO = {"type": "error", "error": {"code": "invalid_api_key", "message": f"Incorrect key: {KEY}"}}


def by_http(provider: Provider) -> None:
    body = json.dumps(ECHO).encode()
    length = str(len(body)).encode()
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: " + length + b"\r\n\r\n"
    provider.refusal = head + body


def by_an_event(provider: Provider) -> None:
    provider.greets = False


@pytest.mark.parametrize("way", [by_http, by_an_event])
async def test_S3_17_a_provider_that_quotes_the_key_is_not_quoted(
    tmp_path: Path, way: Callable[[Provider], None], capsys: pytest.CaptureFixture[str]
) -> None:
    async with provided(tmp_path) as (here, provider):
        way(provider)
        async with client(here, browser("ada")) as old, client(here, openai("grace")) as new:
            if not provider.greets:
                for sub in ("ada", "grace"):
                    call = await provider.call(sub)
                    call.send(ECHO)
                    call.say_goodbye(3000, f"invalid_api_key {KEY}")
            for end in (old, new):
                assert await end.ended() == (1011, "OpenAI connection closed")
                assert KEY.encode() not in b"".join(end.texts)
        seen = (await here.get("/health"))[1] + (await here.get("/metrics"))[1]
    assert KEY not in seen
    assert KEY not in "".join(capsys.readouterr()), "nor in the log, even without its redaction"
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


# --------------------------------------------------------------------------- while it is going on


class Noted(MemorySessionDirectory):
    """A registry that notes every value its count ever had."""

    seen: list[int]

    @property
    def active(self) -> int:
        return self.seen[-1]

    @active.setter
    def active(self, count: int) -> None:
        self.seen.append(count)


async def both_vanish(here: Stage, provider: Provider, sub: str) -> None:
    async with client(here, browser(sub)) as end:
        (await provider.call(sub)).raw.reset()
        end.raw.reset()


async def leaves_during_set_up(here: Stage, provider: Provider, sub: str) -> None:
    async with client(here, openai(sub)) as end:
        end.raw.reset()


async def is_refused(here: Stage, provider: Provider, sub: str) -> None:
    async with client(here, browser(sub, token="x")) as end:
        await end.ended()


async def breaks_the_protocol(here: Stage, provider: Provider, sub: str) -> None:
    async with client(here, openai(sub)) as end:
        end.write(TEXT, b"{}", rsv=4)
        await end.ended()


async def test_S3_14_the_count_is_never_wrong_by_one_however_calls_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3's own went below zero, and up for ever when a caller left during set-up."""
    monkeypatch.setattr(Noted, "seen", [], raising=False)
    monkeypatch.setattr("relay.app.MemorySessionDirectory", Noted)
    ways = (both_vanish, leaves_during_set_up, is_refused, breaks_the_protocol)
    async with provided(tmp_path, max_connections=5) as (here, provider):
        for number in range(40):
            await ways[number % 4](here, provider, f"user-{number}")
        await here.emptied()
        async with contextlib.AsyncExitStack() as full:
            for number in range(5):
                end = await full.enter_async_context(client(here, browser(f"full-{number}")))
                await end.until("session.created")
            async with client(here, browser("one-too-many")) as end:
                assert await end.ended() == (1008, "Server at capacity")
            assert json.loads((await here.get("/health"))[1])["activeConnections"] == 5
        await here.emptied()
        assert json.loads((await here.get("/health"))[1])["activeConnections"] == 0
    assert len(Noted.seen) == 1 + 2 * (30 + 5), "up and down once a caller, not for the refused"
    assert (min(Noted.seen), max(Noted.seen)) == (0, 5)


async def test_S3_13_who_leaves_is_followed_within_a_second_with_1000(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider):
        for door in (browser, openai):
            async with client(here, door()) as end:
                await end.until("session.created")
                call = await provider.call()
                began = own_time()
                end.say_goodbye(1000)
                assert await call.ended() == (1000, "Client disconnected")
                assert own_time() - began < 1.0


async def test_S3_41_no_file_with_sound_is_ever_opened_while_a_call_goes_on(tmp_path: Path) -> None:
    """The files that this process writes are watched during a session, not only looked at after."""
    marker = b"\x12\x34\x56\x78" * 6000
    needles = (marker[:64], base64.b64encode(marker[:48]), base64.b64encode(marker[:48])[4:40])
    before, written = writable_files(), set[Path]()
    async with stage(tmp_path, SCRIPT) as here, here.s3_client() as line:
        await line.until("session.updated")
        for pcm in (SPEECH, marker, SILENCE):
            await line.speak(pcm)
            written |= writable_files() - before
        while "response.done" not in line.types:
            line.events.append(json.loads(await line.socket.recv()))
            written |= writable_files() - before
        for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
            data = path.read_bytes()
            assert not [needle for needle in needles if needle in data], path
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert names, "words are written"
    assert {name for name in names if not name.startswith(("relay.db", "journal/"))} == set()


def writable_files() -> set[Path]:
    """Regular files that this process has open for writing now."""
    found = set[Path]()
    for opened in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            path = opened.readlink()
            flags = Path(f"/proc/self/fdinfo/{opened.name}").read_text().split()[3]
            if path.is_file() and int(flags, 8) & (os.O_WRONLY | os.O_RDWR):
                found.add(path)
    return found


async def test_S3_42_health_counts_the_living_and_has_its_five_fields(tmp_path: Path) -> None:
    async with stage(tmp_path, max_connections=7) as here:
        async with here.s3_client() as one, here.openai_client() as two:
            await one.until("session.created")
            await two.until("session.created")
            status, body = await here.get("/health")
            health = json.loads(body)
            fields = ["status", "activeConnections", "maxConnections", "uptime", "timestamp"]
            assert (status, list(health)) == (200, fields)
            assert (health["activeConnections"], health["maxConnections"]) == (2, 7)
            assert isinstance(health["uptime"], float)
        assert await here.get("/healthz") == (404, "")


async def test_S3_46_the_servers_turn_detection_reaches_the_client(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.s3_client() as line:
        await line.until("session.updated")
        assert line.events[-1]["session"]["turn_detection"]["type"] == "server_vad"
        await line.speak()
        started = await line.until("input_audio_buffer.speech_started")
        stopped = await line.until("input_audio_buffer.speech_stopped")
        assert stopped["audio_end_ms"] > started["audio_start_ms"] >= 0
        committed = await line.until("input_audio_buffer.committed")
        assert started["item_id"] == stopped["item_id"] == committed["item_id"]


@pytest.mark.parametrize("door", ["browser", "openai"])
async def test_S3_49_a_token_that_expires_ends_the_call_with_4001(
    tmp_path: Path, door: str
) -> None:
    expires = int(time.time()) + 60
    bearer = token("ada", ttl=expires - time.time() + 0.5)
    began = time.monotonic()
    target = f"/v1/realtime?token={bearer}" if door == "openai" else browser(token=bearer)
    async with (
        provided(tmp_path, lambda: expires - 1.0 + time.monotonic() - began) as (here, _),
        client(here, target) as end,
    ):
        await end.until("session.created")
        assert await end.ended() == (4001, "Token expired")
        if door == "openai":
            assert end.events[-1]["error"]["code"] == "invalid_api_key"


async def test_S3_49_who_sends_a_fresh_token_in_time_goes_on(tmp_path: Path) -> None:
    expires = int(time.time()) + 60
    began: list[float] = []  # once the call is there the last second of its token runs

    def clock() -> float:
        return expires - 1.0 + (time.monotonic() - began[0] if began else 0.0)

    async with provided(tmp_path, clock) as (here, provider):
        old = token("ada", ttl=expires - time.time() + 0.5)
        async with client(here, f"/v1/realtime?token={old}&relay=1") as end:
            hello = await end.until("relay.session")
            assert hello["expires_at"] == expires
            end.send({"type": "relay.token", "token": token("eve", ttl=3600)})
            end.send({"type": "relay.token", "token": token("ada", ttl=3600)})
            began.append(time.monotonic())
            while clock() < expires + 0.3:
                await asyncio.sleep(0.05)
            assert "rate_limits.updated" in await spoken(end, await provider.call(), [])
            assert end.closes == []


async def test_S3_50_connection_timeout_is_in_milliseconds_and_ends_a_talkative_session_too(
    tmp_path: Path,
) -> None:
    async with provided(tmp_path, connection_timeout=1000) as (here, provider):
        began = asyncio.get_running_loop().time()
        async with client(here, browser()) as end:
            await end.until("session.created")
            call = await provider.call()
            while not end.gone.is_set():
                call.send({"type": "response.output_text.delta", "item_id": "A", "delta": "on "})
                await asyncio.sleep(0.02)
            assert await end.ended() == (4010, "Session time limit")
            assert end.began is not None
            assert 1.0 <= end.began - began < 3.0


async def test_S3_51_who_answers_pings_stays_and_who_does_not_is_4012(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.realtime.deadlines.PING_SECONDS", 0.4)  # 30 s, said elsewhere
    async with (
        provided(tmp_path) as (here, provider),
        client(here, browser("ada")) as alive,
        client(here, openai("grace")) as silent,
    ):
        silent.pongs = False
        assert await silent.ended() == (4012, "Connection lost")
        assert silent.kinds.count(PING) == 3, "two unanswered periods after the first"
        assert "rate_limits.updated" in await spoken(alive, await provider.call(), [])
        assert alive.closes == []
        assert alive.kinds.count(PING) >= 3


SOUND = {"type": "response.output_audio.delta", "item_id": "A1", "delta": "AAAA" * 15_000}


@pytest.mark.parametrize("door", ["browser", "openai"])
async def test_S3_57_a_client_that_stops_reading_fills_no_memory_and_slows_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    """Over real sockets: the provider has 96 MiB to say, and a bounded piece of it waits here."""
    monkeypatch.setattr("relay.realtime.deadlines.SLOW_SECONDS", 2.0)
    target = browser("slow") if door == "browser" else openai("slow")
    async with provided(tmp_path) as (here, provider):
        async with (
            client(here, target, receive_buffer=4096) as slow,
            client(here, openai("quick")) as quick,
        ):
            await slow.until("session.created")
            await quick.until("session.created")
            flood, other = await provider.call("slow"), await provider.call("quick")
            slow.reads.clear()
            before, taken = memory(), [0]
            flooding = asyncio.ensure_future(_flood(flood, 96 << 20, taken))
            waits = [await _round_trip(quick, other, number) for number in range(30)]
            slow.send({"type": "input_audio_buffer.append", "audio": "AAAA"})
            await flood.until("input_audio_buffer.append")  # its own voice is not held up
            assert memory() - before < 24 << 20, "buffers of ours; the kernel's are its own"
            async with asyncio.timeout(20):
                while not flood.closes:
                    await asyncio.sleep(0.005)
            assert memory() - before < 24 << 20
            assert taken[0] < 48 << 20, "the provider was held back"
            assert sorted(waits)[15] < 0.25, waits
            flooding.cancel()
            slow.reads.set()
            assert (await slow.ended())[0] in (4013, 1006)
            await _round_trip(quick, other, 99)
        told = (await here.get("/metrics"))[1]
        assert f'relay_sessions_ended_total{{door="{door}",ending="client_too_slow"}} 1.0' in told


async def test_S3_57_who_sends_nonsense_and_does_not_read_fills_no_memory(tmp_path: Path) -> None:
    """Each of its frames would be answered by an `error` a hundred times as long."""
    nonsense = frame(TEXT, b"{}") * 60_000
    async with (
        provided(tmp_path) as (here, provider),
        client(here, openai("mad"), receive_buffer=4096) as mad,
        client(here, openai("quick")) as quick,
    ):
        await mad.until("session.created")
        await quick.until("session.created")
        (peer,) = (
            session._client.connection
            for session in live_sessions(here.app)
            if session.head.user_id == "mad"
        )
        mad.reads.clear()
        mad.raw.write(nonsense)
        await mad.raw.writer.drain()
        await metric(here, 'relay_frames_total{direction="up"} 60000.0')
        assert 1 << 20 < peer.buffered < 2 << 20  # type: ignore[union-attr]
        await _round_trip(quick, await provider.call("quick"), 1)
        mad.raw.reset()
        mad.reads.set()


async def test_S3_57_a_slow_client_that_reads_again_is_told_4013(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.realtime.deadlines.SLOW_SECONDS", 0.3)
    async with (
        provided(tmp_path) as (here, provider),
        client(here, openai("slow"), receive_buffer=1 << 16) as slow,
    ):
        await slow.until("session.created")
        flood = await provider.call("slow")
        slow.reads.clear()
        flooding = asyncio.ensure_future(_flood(flood, 96 << 20, [0]))
        async with asyncio.timeout(20):
            while not flood.closes:
                await asyncio.sleep(0.005)
        flooding.cancel()
        slow.reads.set()
        assert await slow.ended() == (4013, "Client too slow")
        assert slow.events[-1]["error"]["code"] == "client_too_slow"


async def _flood(call: End, size: int, taken: list[int]) -> None:
    """Say so many bytes as fast as they are taken."""
    with contextlib.suppress(ConnectionError):
        while taken[0] < size and not call.closes:
            call.send(SOUND)
            await call.raw.writer.drain()
            taken[0] += len(SOUND["delta"])
            await asyncio.sleep(0)


async def _round_trip(end: End, provider: End, number: int) -> float:
    """Seconds from an event at this provider to its client."""
    began = own_time()
    provider.send({"type": f"test.{number}"})
    await end.until(f"test.{number}")
    return own_time() - began


def memory() -> int:
    """Bytes of memory that this process really has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_S3_64_a_fault_in_one_call_ends_it_alone_and_says_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def feed(*_: object) -> None:
        raise RuntimeError("the learner said: a secret")

    async with provided(tmp_path) as (here, provider), client(here, browser("ada")) as broken:
        await broken.until("session.created")
        (first,) = live_sessions(here.app)
        first.core.transcript.observe = feed  # type: ignore[method-assign,assignment]
        async with client(here, browser("grace")) as sound:
            await sound.until("session.created")
            (await provider.call("ada")).send(*wire.spoken_turn("U1", None))
            assert await broken.ended() == (1011, "Internal server error")
            await spoken(sound, await provider.call("grace"), wire.spoken_turn("U1", None))
            assert sound.closes == []
        async with client(here, openai("linus")) as later:
            await later.until("session.created")
    assert "secret" not in "".join(capsys.readouterr())

"""WS /api/sessions/{id}/voice: audio both ways, and access to it."""

import asyncio

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from relay.feed.live_session import NoLine
from relay.http.api.coach_audio import FRAME_BYTES
from tests.feed.calls import FakeCall, FakeLine
from tests.http.api.running_api import PATIENCE, SERVICE_KEY, SESSION, header, running_api
from tests.stores.words import LEARNER

VOICE = f"/api/sessions/{SESSION}/voice"


async def opened(call: FakeCall) -> FakeLine:
    async with asyncio.timeout(PATIENCE):
        while not call.lines:
            await asyncio.sleep(0.001)
    return call.lines[-1]


async def closed(socket: ClientWebSocketResponse) -> tuple[int | None, str]:
    """The close, after whatever came before it."""
    async with asyncio.timeout(PATIENCE):
        while (message := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            pass
    return socket.close_code, message.extra or ""


async def test_audio_goes_both_ways_and_text_is_ignored() -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            async with api.http.ws_connect(VOICE, headers=header("kim", "coach")) as socket:
                line = await opened(call)
                assert line.coach == "kim"
                await socket.send_str('{"type":"hello"}')
                await socket.send_bytes(bytes(FRAME_BYTES))
                line.frames.put_nowait(b"\x00sound")
                assert await socket.receive_bytes() == b"\x00sound"
                async with asyncio.timeout(PATIENCE):
                    while not line.heard:
                        await asyncio.sleep(0.001)
                assert line.heard == [bytes(FRAME_BYTES)]
            async with asyncio.timeout(PATIENCE):
                while line.ending is None:
                    await asyncio.sleep(0.001)
            assert line.ending.code == 1000


async def test_a_frame_that_is_too_large_ends_the_stream() -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            async with api.http.ws_connect(VOICE, headers=header()) as socket:
                line = await opened(call)
                await socket.send_bytes(bytes(FRAME_BYTES + 1))
                assert (await closed(socket))[0] == 1009
                assert line.heard == []


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 4001),
        (header(LEARNER, "learner"), 4003),
        (header("lee", "coach"), 4003),
    ],
    ids=["no token", "the learner", "another coach"],
)
async def test_the_stream_is_for_the_learners_coach(headers: dict[str, str], code: int) -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            async with api.http.ws_connect(VOICE, headers=headers) as socket:
                assert (await closed(socket))[0] == code
        assert call.lines == []


async def test_the_service_key_may_listen() -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            headers = {"Authorization": f"Bearer {SERVICE_KEY}"}
            async with api.http.ws_connect(VOICE, headers=headers):
                assert (await opened(call)).coach == "service"


@pytest.mark.parametrize(
    ("why", "error", "code"),
    [("over", "over", 4000), ("busy", "full", 1013), ("format", "no_pcm", 4000)],
)
async def test_a_refused_stream_says_why(why: NoLine, error: str, code: int) -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall(no_line=why)):
            async with api.http.ws_connect(VOICE, headers=header()) as socket:
                message = await socket.receive_json()
                assert message["error"]["code"] == error
                assert (await closed(socket))[0] == code


async def test_an_expired_token_ends_the_stream() -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            headers = header(ttl=0.3)
            async with api.http.ws_connect(VOICE, headers=headers) as socket:
                assert await closed(socket) == (4001, "Token expired")
            assert (await opened(call)).ending is not None


async def test_other_requests_than_a_websocket_are_refused() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            assert (await api.ask(VOICE)).error == (400, "no_socket_asked")


async def test_an_ended_session_has_no_stream() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            pass
        async with api.http.ws_connect(VOICE, headers=header()) as socket:
            assert (await closed(socket))[0] == 4000

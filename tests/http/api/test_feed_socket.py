import asyncio
import logging

import pytest

from relay.http.api import feeds
from relay.realtime.transcript import InterimTranscript
from tests.feed.calls import FakeCall, again, said
from tests.http.api.running_api import PATIENCE, SESSION, bearer, running_api
from tests.websocket.ends import CLOSE, TEXT, Raw, read_frame, upgrade

KEY = "openai-insecure-api-key."


async def test_the_session_then_the_past_then_new_utterances() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            api.feeds.commit(said(1), said(2))
            async with api.subscribe("?since=1") as socket:
                await socket.until("caught_up")
                api.feeds.commit(again(said(1), 3))
                await socket.until("final")
                kinds = [(m["type"], m.get("seq")) for m in socket.messages]
                assert kinds == [
                    ("session", None),
                    ("final", 2),
                    ("caught_up", 2),
                    ("final", 3),
                ]


async def test_interim_text_then_the_utterance() -> None:
    async with running_api() as api:
        call = FakeCall(open=[InterimTranscript("item_1", 0, "user", "Good mor")])
        with api.feeds.directory.track(call):
            async with api.subscribe() as one, api.subscribe() as two:
                expected = {
                    "type": "partial",
                    "item_id": "item_1",
                    "content_index": 0,
                    "speaker": "learner",
                    "role": "user",
                    "text": "Good mor",
                }
                assert await one.until("partial") == expected
                assert await two.until("partial") == expected
                call.open = []
                api.feeds.commit(said(1, "Good morning."))
                final = await one.until("final")
                assert final["utterance"]["item_id"] == "item_1"


async def test_the_end_is_a_message_and_a_close_frame() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall(why="client_left")):
            pass
        async with api.subscribe() as socket:
            assert await socket.closed() == (1000, "")
            assert socket.messages[-1]["type"] == "ended"


@pytest.mark.parametrize("offer", [("relay.v1",), ()], ids=["relay.v1", "the token alone"])
async def test_a_browser_sends_its_token_in_a_subprotocol_that_is_not_logged(
    offer: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = bearer().replace(":", "!")  # like a JWT, a token of RFC 7230
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe(headers={}, protocols=(*offer, KEY + token)) as socket:
                assert socket.socket.protocol == (offer[0] if offer else None)
                await socket.closed()
    assert "admin" not in caplog.text


async def test_a_token_expires_during_the_feed() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe(f"?token={bearer(ttl=0.3)}", headers={}) as socket:
                await socket.until("caught_up")
                assert await socket.closed() == (4001, "Token expired")


async def test_an_assignment_is_withdrawn_during_the_feed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr("relay.http.api.auth.LEARNERS_TTL_SECONDS", 0.0)
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe(f"?token={bearer('kim', 'coach')}", headers={}) as socket:
                await socket.until("caught_up")
                api.assignments.broken = True
                await asyncio.sleep(0.1)  # an open feed stays while the store is unavailable
                assert api.feeds.feed.subscribers
                api.assignments.broken = False
                api.assignments.of.clear()
                assert await socket.closed() == (4003, "Forbidden")


async def test_a_coach_who_leaves_is_unsubscribed() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe() as closing, api.subscribe() as dropping:
                await closing.until("caught_up")
                await dropping.until("caught_up")
                assert api.feeds.hub.subscriber_count == 2
                await closing.socket.close()
                transport = dropping.socket._response.connection
                assert transport is not None
                assert transport.transport is not None
                transport.transport.abort()
                async with asyncio.timeout(PATIENCE):
                    while api.feeds.hub.subscriber_count:
                        await asyncio.sleep(0.005)


async def test_a_coachs_messages_are_ignored_and_a_large_one_ends_the_feed() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe() as socket:
                await socket.until("caught_up")
                await socket.socket.send_str('{"type":"session.update"}')
                await socket.socket.send_bytes(b"\x00")
                api.feeds.commit(said(1))
                assert (await socket.until("final"))["seq"] == 1
                await socket.socket.send_str("x" * (feeds.MAX_MESSAGE_BYTES + 1))
                assert (await socket.closed())[0] == 1009


async def test_a_coach_who_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SEND_SECONDS", 0.2)
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe() as socket:
                await socket.until("caught_up")
                connection = socket.socket._response.connection
                assert connection is not None
                assert connection.transport is not None
                connection.transport.pause_reading()
                async with asyncio.timeout(PATIENCE):
                    seq = 0
                    while api.feeds.hub.subscriber_count:
                        seq += 1
                        api.feeds.commit(said(seq, "a" * 100_000))
                        await asyncio.sleep(0.005)
                connection.transport.abort()


@pytest.mark.parametrize("path", ["feed", "voice"])
async def test_a_stranger_who_answers_no_close_keeps_nobody_out(path: str) -> None:
    """Who is refused is left some time to answer the close, and holds no place for so long."""
    async with running_api(limit=1) as api:
        stranger = await Raw.connect(api.port)
        stranger.write(upgrade(target=f"/api/sessions/{SESSION}/{path}"))
        assert b" 101 " in await stranger.read_head()
        kinds = [(await read_frame(stranger.reader))[0] for _ in range(2)]
        assert kinds == [TEXT, CLOSE], "it is told why, and does not answer"
        assert (await api.ask("/health")).status == 200
        assert await stranger.read_rest() == b""
        await stranger.hang_up()

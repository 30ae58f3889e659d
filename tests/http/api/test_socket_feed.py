import asyncio
import logging

import pytest

from relay.http.api import feeds as socket_feed
from relay.http.api import feeds as stream
from relay.realtime.transcript import InterimTranscript
from tests.feed.calls import FakeCall, again, said
from tests.http.api.desk import PATIENCE, bearer, desk

KEY = "openai-insecure-api-key."


async def test_the_state_the_past_then_what_comes() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.commit(said(1), said(2))
            async with here.watch("?since=1") as socket:
                await socket.until("caught_up")
                here.house.commit(again(said(1), 3))
                await socket.until("final")
                kinds = [(m["type"], m.get("seq")) for m in socket.messages]
                assert kinds == [
                    ("session", None),
                    ("final", 2),
                    ("caught_up", 2),
                    ("final", 3),
                ]


async def test_words_so_far_then_the_words() -> None:
    async with desk() as here:
        call = FakeCall(open=[InterimTranscript("item_1", 0, "user", "Good mor")])
        with here.house.hub.live(call):
            async with here.watch() as one, here.watch() as two:
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
                here.house.commit(said(1, "Good morning."))
                final = await one.until("final")
                assert final["utterance"]["item_id"] == "item_1"


async def test_the_end_is_a_message_and_a_close() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall(why="client_left")):
            pass
        async with here.watch() as socket:
            assert await socket.closed() == (1000, "")
            assert socket.messages[-1]["type"] == "ended"


@pytest.mark.parametrize("offer", [("relay.v1",), ()], ids=["relay.v1", "the token alone"])
async def test_a_browser_brings_its_token_in_a_subprotocol_that_nobody_logs(
    offer: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = bearer().replace(":", "!")  # as JWTs, and unlike this desk's, a token of RFC 7230
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch(headers={}, protocols=(*offer, KEY + token)) as socket:
                assert socket.socket.protocol == (offer[0] if offer else None)
                await socket.closed()
    assert "admin" not in caplog.text


async def test_a_token_runs_out_while_its_owner_watches() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch(f"?token={bearer(ttl=0.3)}", headers={}) as socket:
                await socket.until("caught_up")
                assert await socket.closed() == (4001, "Token expired")


async def test_an_assignment_is_withdrawn_while_the_coach_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr("relay.http.api.auth.REMEMBERED_SECONDS", 0.0)
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch(f"?token={bearer('kim', 'coach')}", headers={}) as socket:
                await socket.until("caught_up")
                here.learners.broken = True
                await asyncio.sleep(0.1)  # who was let in stays while nobody can be asked
                assert here.house.feed.watchers
                here.learners.broken = False
                here.learners.of.clear()
                assert await socket.closed() == (4003, "Forbidden")


async def test_who_leaves_leaves_nothing_behind() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch() as polite, here.watch() as rude:
                await polite.until("caught_up")
                await rude.until("caught_up")
                assert here.house.hub.watchers == 2
                await polite.socket.close()
                transport = rude.socket._response.connection
                assert transport is not None
                assert transport.transport is not None
                transport.transport.abort()
                async with asyncio.timeout(PATIENCE):
                    while here.house.hub.watchers:
                        await asyncio.sleep(0.005)


async def test_what_a_coach_sends_changes_nothing_and_too_much_of_it_ends_the_feed() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch() as socket:
                await socket.until("caught_up")
                await socket.socket.send_str('{"type":"session.update"}')
                await socket.socket.send_bytes(b"\x00")
                here.house.commit(said(1))
                assert (await socket.until("final"))["seq"] == 1
                await socket.socket.send_str("x" * (socket_feed.HEARD_BYTES + 1))
                assert (await socket.closed())[0] == 1009


async def test_a_coach_who_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_SECONDS", 0.2)
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch() as socket:
                await socket.until("caught_up")
                connection = socket.socket._response.connection
                assert connection is not None
                assert connection.transport is not None
                connection.transport.pause_reading()
                async with asyncio.timeout(PATIENCE):
                    seq = 0
                    while here.house.hub.watchers:
                        seq += 1
                        here.house.commit(said(seq, "a" * 100_000))
                        await asyncio.sleep(0.005)
                connection.transport.abort()

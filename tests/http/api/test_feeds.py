import pytest

from relay.feed import hub as hub_module
from relay.feed.feed import UtteranceLog
from relay.http.api import auth as rates
from tests.feed.calls import FakeCall, said
from tests.http.api.desk import FEED, desk, header
from tests.stores.words import STRANGER

EVENTS = {"Accept": "text/event-stream"}


async def test_who_asks_for_neither_wire_is_told_how_to_ask() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            assert (await here.ask(FEED)).refusal == (400, "no_feed_asked")


@pytest.mark.parametrize(
    ("query", "who", "status", "code", "close"),
    [
        ("", {}, 401, "unauthorized", (4001, "Unauthorized")),
        ("", header(ttl=-60), 401, "unauthorized", (4001, "Unauthorized")),
        ("", header(STRANGER, "learner"), 404, "not_found", (4003, "Forbidden")),
        ("", header("lee", "coach"), 404, "not_found", (4003, "Forbidden")),
        ("?since=x", header(), 400, "bad_since", (4000, "Bad request")),
    ],
    ids=["no token", "an old token", "a stranger", "another coach", "a bad cursor"],
)
async def test_a_refusal_says_the_same_on_both_wires(
    query: str, who: dict[str, str], status: int, code: str, close: tuple[int, str]
) -> None:
    """A WebSocket's handshake is completed first, or no browser could read why."""
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            answer = await here.ask(FEED + query, headers=who | EVENTS)
            assert answer.refusal == (status, code)
            async with here.watch(query, headers=who) as socket:
                assert await socket.closed() == close
                (message,) = socket.messages
                assert message == {"type": "error", "error": answer.json["error"]}


async def test_where_the_past_cannot_be_read_nobody_is_shown_half_of_it() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.feed.log = UtteranceLog(records=1)
            here.house.commit(said(1), said(2))
            here.house.disk.broken = True
            answer = await here.ask(FEED, headers=header() | EVENTS)
            assert answer.refusal == (503, "unavailable")
            async with here.watch() as socket:
                assert await socket.closed() == (1011, "Internal server error")


async def test_the_feeds_of_one_caller_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "FEEDS", 1)
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch() as socket:
                await socket.until("caught_up")
                answer = await here.ask(FEED, headers=header() | EVENTS)
                assert answer.refusal == (429, "too_many_feeds")
                async with here.watch() as second:
                    assert await second.closed() == (4029, "Too many requests")
                async with here.watch(headers=header("other")) as other:
                    await other.until("caught_up")
            assert here.house.feed.watchers == set()


async def test_all_feeds_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "WATCHERS", 0)
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            assert (await here.ask(FEED, headers=header() | EVENTS)).refusal == (503, "full")
            async with here.watch() as socket:
                assert await socket.closed() == (1013, "Server at capacity")


async def test_a_server_that_stops_sends_watchers_away_and_lets_nobody_in() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.watch() as socket:
                await socket.until("caught_up")
                here.house.hub.close()
                assert await socket.closed() == (1012, "Service restart")
            answer = await here.ask(FEED, headers=header() | EVENTS)
            assert answer.refusal == (503, "restarting")


async def test_a_handshake_that_is_none_is_refused_as_json() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            answer = await here.ask(FEED, headers=header() | {"Upgrade": "websocket"})
            assert answer.refusal == (400, "bad_request")

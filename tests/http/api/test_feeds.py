import pytest

from relay.feed import hub as hub_module
from relay.feed.feed import UtteranceLog
from relay.http.api import auth
from tests.feed.calls import FakeCall, said
from tests.http.api.running_api import FEED, header, running_api
from tests.stores.words import STRANGER

EVENTS = {"Accept": "text/event-stream"}


async def test_a_request_for_neither_transport() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            assert (await api.ask(FEED)).error == (400, "no_feed_asked")


@pytest.mark.parametrize(
    ("query", "who", "status", "code", "close"),
    [
        ("", {}, 401, "unauthorized", (4001, "Unauthorized")),
        ("", header(ttl=-60), 401, "unauthorized", (4001, "Unauthorized")),
        ("", header(STRANGER, "learner"), 404, "not_found", (4003, "Forbidden")),
        ("", header("lee", "coach"), 404, "not_found", (4003, "Forbidden")),
        ("?since=x", header(), 400, "bad_since", (4000, "Bad request")),
    ],
    ids=["no token", "an old token", "another learner", "another coach", "a bad cursor"],
)
async def test_an_error_is_the_same_on_both_transports(
    query: str, who: dict[str, str], status: int, code: str, close: tuple[int, str]
) -> None:
    """A WebSocket's handshake is completed first; otherwise no browser could read why."""
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            answer = await api.ask(FEED + query, headers=who | EVENTS)
            assert answer.error == (status, code)
            async with api.subscribe(query, headers=who) as socket:
                assert await socket.closed() == close
                (message,) = socket.messages
                assert message == {"type": "error", "error": answer.json["error"]}


async def test_a_feed_whose_past_cannot_be_read_is_refused() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            api.feeds.feed.log = UtteranceLog(records=1)
            api.feeds.commit(said(1), said(2))
            api.feeds.disk.broken = True
            answer = await api.ask(FEED, headers=header() | EVENTS)
            assert answer.error == (503, "unavailable")
            async with api.subscribe() as socket:
                assert await socket.closed() == (1011, "Internal server error")


async def test_the_feeds_of_one_caller_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FEEDS", 1)
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe() as socket:
                await socket.until("caught_up")
                answer = await api.ask(FEED, headers=header() | EVENTS)
                assert answer.error == (429, "too_many_feeds")
                async with api.subscribe() as second:
                    assert await second.closed() == (4029, "Too many requests")
                async with api.subscribe(headers=header("other")) as other:
                    await other.until("caught_up")
            assert api.feeds.feed.subscribers == set()


async def test_all_feeds_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_SUBSCRIBERS", 0)
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            assert (await api.ask(FEED, headers=header() | EVENTS)).error == (503, "full")
            async with api.subscribe() as socket:
                assert await socket.closed() == (1013, "Server at capacity")


async def test_a_server_that_stops_closes_feeds_and_refuses_new_ones() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.subscribe() as socket:
                await socket.until("caught_up")
                api.feeds.hub.close()
                assert await socket.closed() == (1012, "Service restart")
            answer = await api.ask(FEED, headers=header() | EVENTS)
            assert answer.error == (503, "restarting")


async def test_an_invalid_handshake_is_refused_as_json() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            answer = await api.ask(FEED, headers=header() | {"Upgrade": "websocket"})
            assert answer.error == (400, "bad_request")

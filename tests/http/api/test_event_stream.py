import asyncio
import json
from typing import Any

import aiohttp
import pytest

from relay.http.api import feeds
from tests.feed.calls import FakeCall, said
from tests.http.api.running_api import FEED, PATIENCE, RunningApi, bearer, header, running_api

EVENTS = header() | {"Accept": "text/event-stream"}


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Each event's id and data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line)
        if "data" in fields:
            found.append((fields.get("id", ""), json.loads(fields["data"])))
    return found


async def ended(api: RunningApi, count: int = 2) -> None:
    call = FakeCall(seq=count)
    with api.feeds.directory.track(call):
        api.feeds.commit(*(said(seq) for seq in range(1, count + 1)))


async def test_the_id_of_an_event_is_the_cursor_after_it() -> None:
    async with running_api() as api:
        await ended(api)
        answer = await api.ask(FEED, headers=EVENTS)
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.text.startswith("retry: 1000\n\n")
        assert [(id_, data["type"]) for id_, data in events(answer.text)] == [
            ("", "session"),
            ("1", "final"),
            ("2", "final"),
            ("2", "caught_up"),
            ("2-ended", "ended"),
        ]


@pytest.mark.parametrize(
    ("last", "query", "finals"),
    [("1", "", ["2"]), ("0", "?since=2", ["1", "2"]), ("", "?since=1", ["2"])],
    ids=["Last-Event-ID", "Last-Event-ID before since", "since"],
)
async def test_a_browser_that_reconnects_resumes_after_the_last_id(
    last: str, query: str, finals: list[str]
) -> None:
    async with running_api() as api:
        await ended(api)
        given = {"Last-Event-ID": last} if last else {}
        answer = await api.ask(FEED + query, headers=EVENTS | given)
        seen = [id_ for id_, data in events(answer.text) if data["type"] == "final"]
        assert seen == finals


async def test_a_browser_that_has_seen_the_end_is_told_not_to_reconnect() -> None:
    async with running_api() as api:
        await ended(api)
        answer = await api.ask(FEED, headers=EVENTS | {"Last-Event-ID": "2-ended"})
        assert (answer.status, answer.text) == (204, "")


@pytest.mark.parametrize("last", ["x", "-1", "2-", "2-ended-ended"])
async def test_an_invalid_id_is_refused(last: str) -> None:
    async with running_api() as api:
        await ended(api)
        answer = await api.ask(FEED, headers=EVENTS | {"Last-Event-ID": last})
        assert answer.error == (400, "bad_since")


async def test_a_new_utterance_is_sent_at_once() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, '"caught_up"')
                api.feeds.commit(said(1))
                assert "words 1" in await lines_until(answer, '"final"')


async def lines_until(answer: aiohttp.ClientResponse, part: str) -> str:
    async with asyncio.timeout(PATIENCE):
        while part not in (line := (await answer.content.readline()).decode()):
            assert line
    return line


async def test_a_quiet_stream_sends_keep_alives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "QUIET_SECONDS", 0.05)
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, ": live")


async def test_the_last_event_says_why_the_stream_ends() -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            short = {"Authorization": f"Bearer {bearer(ttl=0.3)}"}
            answer = await api.ask(FEED, headers=EVENTS | short)
            assert events(answer.text)[-1][1]["error"]["code"] == "token_expired"


async def test_who_leaves_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "QUIET_SECONDS", 0.05)
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, '"caught_up"')
                answer.close()
            async with asyncio.timeout(PATIENCE):
                while api.feeds.hub.subscriber_count:
                    await asyncio.sleep(0.005)


async def test_a_coach_who_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SEND_SECONDS", 0.2)
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            async with api.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, '"caught_up"')
                assert answer.connection is not None
                assert answer.connection.transport is not None
                answer.connection.transport.pause_reading()
                async with asyncio.timeout(PATIENCE):
                    seq = 0
                    while api.feeds.hub.subscriber_count:
                        seq += 1
                        api.feeds.commit(said(seq, "a" * 100_000))
                        await asyncio.sleep(0.005)
                answer.connection.transport.abort()

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from relay.http.api import feeds as stream
from tests.feed.calls import FakeCall, said
from tests.http.api.desk import FEED, PATIENCE, Desk, bearer, desk, header

EVENTS = header() | {"Accept": "text/event-stream"}


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Each event's id and data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line)
        if "data" in fields:
            found.append((fields.get("id", ""), json.loads(fields["data"])))
    return found


async def ended(here: Desk, count: int = 2) -> None:
    call = FakeCall(seq=count)
    with here.house.hub.live(call):
        here.house.commit(*(said(seq) for seq in range(1, count + 1)))


async def test_every_id_is_the_cursor_after_its_event() -> None:
    async with desk() as here:
        await ended(here)
        answer = await here.ask(FEED, headers=EVENTS)
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
    ids=["the last id", "which wins over since", "since alone"],
)
async def test_a_browser_that_comes_back_goes_on_from_the_last_id(
    last: str, query: str, finals: list[str]
) -> None:
    async with desk() as here:
        await ended(here)
        given = {"Last-Event-ID": last} if last else {}
        answer = await here.ask(FEED + query, headers=EVENTS | given)
        seen = [id_ for id_, data in events(answer.text) if data["type"] == "final"]
        assert seen == finals


async def test_a_browser_that_has_seen_the_end_is_told_not_to_come_back() -> None:
    async with desk() as here:
        await ended(here)
        answer = await here.ask(FEED, headers=EVENTS | {"Last-Event-ID": "2-ended"})
        assert (answer.status, answer.text) == (204, "")


@pytest.mark.parametrize("last", ["x", "-1", "2-", "2-ended-ended"])
async def test_an_id_that_is_none_of_ours_is_refused(last: str) -> None:
    async with desk() as here:
        await ended(here)
        answer = await here.ask(FEED, headers=EVENTS | {"Last-Event-ID": last})
        assert answer.refusal == (400, "bad_since")


async def test_what_is_said_now_comes_now() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, '"caught_up"')
                here.house.commit(said(1))
                assert "words 1" in await lines_until(answer, '"final"')


async def lines_until(answer: aiohttp.ClientResponse, part: str) -> str:
    async with asyncio.timeout(PATIENCE):
        while part not in (line := (await answer.content.readline()).decode()):
            assert line
    return line


async def test_a_quiet_stream_shows_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "QUIET_SECONDS", 0.05)
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, ": live")


async def test_why_a_stream_ends_is_its_last_event() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            short = {"Authorization": f"Bearer {bearer(ttl=0.3)}"}
            answer = await here.ask(FEED, headers=EVENTS | short)
            assert events(answer.text)[-1][1]["error"]["code"] == "token_expired"


async def test_who_leaves_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "QUIET_SECONDS", 0.05)
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, '"caught_up"')
                answer.close()
            async with asyncio.timeout(PATIENCE):
                while here.house.hub.watchers:
                    await asyncio.sleep(0.005)


async def test_a_coach_who_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_SECONDS", 0.2)
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            async with here.http.get(FEED, headers=EVENTS) as answer:
                await lines_until(answer, '"caught_up"')
                assert answer.connection is not None
                assert answer.connection.transport is not None
                answer.connection.transport.pause_reading()
                async with asyncio.timeout(PATIENCE):
                    seq = 0
                    while here.house.hub.watchers:
                        seq += 1
                        here.house.commit(said(seq, "a" * 100_000))
                        await asyncio.sleep(0.005)
                answer.connection.transport.abort()

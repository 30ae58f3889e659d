"""The coach's side put together, with a real journal and a real store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from pydantic import SecretStr

from relay.app import CoachServices, open_coach
from relay.clock import MachineClock
from relay.config import Settings
from relay.feed.messages import iso
from relay.feed.subscriber import EncodedMessage, Subscriber
from relay.realtime.endings import SERVICE_RESTART
from relay.realtime.records import SessionHead
from relay.storage import open_storage
from relay.tasks import Tasks
from tests.feed.calls import HEAD, FakeCall, said
from tests.session.fakes import services

NOW = 1_760_000_100.0


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[CoachServices]:
    tasks = Tasks(lambda *_: None)
    async with open_storage(folder, tasks) as words:
        yield open_coach(words, tasks, MachineClock(lambda: NOW))


async def test_a_word_is_shown_when_it_is_on_disk_and_not_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as coach:
        with coach.hub.track(FakeCall()):
            feed = coach.hub.live_feeds()[0]
            async with coach.hub.subscribe(feed, 0) as watcher:
                state, caught_up = await watcher.next(), await watcher.next()
                assert state is not None
                assert caught_up == EncodedMessage('{"type":"caught_up","seq":0}', 0)
                coach.journal.append(said(1))
                assert watcher._first() is None
                assert coach.journal.state.committed == 0
                shown = await watcher.next()
                assert shown is not None
                assert shown.cursor == 1
                assert coach.journal.state.committed == 1


async def test_at_the_end_the_last_words_are_shown_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as coach:
        call = FakeCall(seq=1, why="service_restart")
        with coach.hub.track(call):
            ended = coach.hub.live_feeds()[0]
        with coach.hub.track(FakeCall(head=other())):
            live = coach.hub.live_feeds()[0]
            async with coach.hub.subscribe(ended, 0) as one, coach.hub.subscribe(live, 0) as two:
                coach.journal.append(said(1))
                await coach.aclose()
                told = [shown.text async for shown in everything(one)]
                assert '"type":"final"' in told[-2]
                assert '"type":"ended"' in told[-1]
                assert iso(NOW) in told[-1]
                assert [shown async for shown in everything(two)] == []
                assert two.ending == SERVICE_RESTART


async def test_the_api_asks_this_store_and_keeps_the_key_to_itself(tmp_path: Path) -> None:
    async with opened(tmp_path) as coach:
        settings = Settings(
            supabase_service_role_key=SecretStr("sb_secret_1"),
            allowed_origins=("https://page.example.org",),
        )
        api = coach.api(services(), settings)
        assert await api.learners("kim") == frozenset()
        assert api.allowed_origins == ("https://page.example.org",)
        assert "sb_secret_1" not in repr(api)


def other() -> SessionHead:
    return msgspec.structs.replace(HEAD, session_id="77777777-7777-4777-8777-777777777777")


async def everything(watcher: Subscriber) -> AsyncIterator[EncodedMessage]:
    async with asyncio.timeout(5):
        while (shown := await watcher.next()) is not None:
            yield shown

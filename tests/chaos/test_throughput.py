"""How fast a backlog leaves the journal for PostgREST, and how many live sessions that carries."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.realtime.records import AnyRecord
from relay.stores.delivery import BATCH, Delivery
from relay.stores.supabase.store import RECORDS_PER_REQUEST
from tests.chaos.learners import user_of
from tests.components import needs
from tests.stores.hosted import hosted
from tests.stores.words import Call, open_journal
from tests.supabase.project import Project

pytestmark = [pytest.mark.chaos, needs("postgresql", "postgrest")]

TURNS, SESSIONS = 33, 202
"""A turn is two utterances and what they used: 20,000 records."""
APPENDED_AT_ONCE = 5000
SESSION_PER_SECOND = 0.5
"""Records of a live session: an utterance every three seconds, usage with every other one."""
LEAST_PER_SECOND = 300.0
"""On a small machine that is busy with something else; 600 live sessions."""

Tell = Callable[..., None]


def backlog() -> Iterator[AnyRecord]:
    """What so many sessions left, woven as they were: everybody's first turn, then the next."""
    calls = [
        Call(session_id=user_of(5000 + n), conversation_id=user_of(9000 + n))
        for n in range(SESSIONS)
    ]
    for turn in range(TURNS):
        for call in calls:
            yield call.user("What is on the next page of the book that we read?", 2 * turn + 1.0)
            yield call.assistant("A picture of a boat, and below it a poem.", 2 * turn + 2.0)
            yield call.used(40_000, model=f"model {turn}")  # one model's would be one record


async def test_a_backlog_is_delivered(tmp_path: Path, project: Project, tell: Tell) -> None:
    records = list(backlog())
    async with hosted(project) as store:
        journal = await open_journal(tmp_path)
        for start in range(0, len(records), APPENDED_AT_ONCE):
            for record in records[start : start + APPENDED_AT_ONCE]:
                journal.append(record)
            await journal.flush()
        waiting = journal.state.waiting
        delivery = Delivery(journal, store)
        began = time.perf_counter()
        running = asyncio.create_task(delivery.run())
        assert await delivery.flush(240)
        seconds = time.perf_counter() - began
        running.cancel()
        await asyncio.wait({running})
        await journal.aclose()
    ((rows,),) = await project.sql("select count(*) from chat_messages_v2")
    speed = waiting / seconds
    tell(
        f"{waiting} records, {rows} of them utterances, in {seconds:.1f} s: {speed:.0f} a second,"
        f" {BATCH} a batch and {RECORDS_PER_REQUEST} a request",
        f"that carries {speed / SESSION_PER_SECOND:.0f} live sessions",
    )
    assert rows == 2 * TURNS * SESSIONS
    assert delivery.state.retries == delivery.state.set_aside == 0
    assert speed >= LEAST_PER_SECOND

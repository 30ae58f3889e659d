"""What an operator asks of a project: the same answers as of the embedded store."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from relay.realtime.records import AnyRecord
from relay.stores.costs import By
from relay.stores.sqlite.reader import SqliteReader
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase import admin as supabase_desk
from relay.stores.supabase.admin import SupabaseAdmin, TooMuch
from relay.stores.supabase.client import RestClient
from relay.stores.supabase.errors import DatabaseRejected
from relay.stores.supabase.store import SupabaseStore
from tests.components import needs
from tests.stores.hosted import access, hosted
from tests.stores.words import (
    AGENT,
    COACH,
    CONVERSATION,
    DAY,
    LATER_SESSION,
    LEARNER,
    MORNING,
    STRANGER,
    Call,
)
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
CALL = Call()
OTHER = CALL.of(
    session_id=LATER_SESSION,
    user_id=STRANGER,
    conversation_id=CONVERSATION.replace("4", "8"),
    started_at=MORNING + 86_400,
)
CALLS: list[AnyRecord] = [
    *(CALL.begun(), CALL.ended(90), OTHER.begun()),
    CALL.used(150_000, audio_in=500, audio_cached=400, audio_out=900),
    CALL.used(None, model="gpt-4o-transcribe", audio_in=100, text_out=20),
    OTHER.used(20_000, audio_in=50, audio_out=80, day=DAY + 1),
]


@pytest.fixture
async def store(project: Project) -> AsyncIterator[SupabaseStore]:
    async with hosted(project) as store:
        yield store


@pytest.fixture
async def desk(project: Project) -> AsyncIterator[SupabaseAdmin]:
    desk = SupabaseAdmin(RestClient(access(project)))
    yield desk
    await desk.aclose()


@pytest.mark.parametrize("by", get_args(By))
async def test_costs_are_what_the_embedded_store_says_of_the_same_calls(
    store: SupabaseStore, desk: SupabaseAdmin, tmp_path: Path, by: By
) -> None:
    path = tmp_path / "relay.db"
    embedded, reader = SqliteStore(path), SqliteReader(path)
    for place in (store, embedded):
        await place.put(CALLS)
    for since in (0, DAY + 1, DAY + 2):
        assert await desk.costs(by, since) == await reader.costs(by, since)
    assert (await desk.costs(by, 0)).total.micro == 170_000
    await embedded.aclose()
    await reader.aclose()


async def test_of_who_was_erased_the_cost_stays(
    store: SupabaseStore, desk: SupabaseAdmin, project: Project
) -> None:
    await store.put(CALLS)
    await project.sql(
        "update voice_usage set user_id = null, voice_session_id = null, conversation_id = null"
    )
    assert (await desk.costs("user", 0)).total.micro == 170_000


async def test_a_report_is_of_all_or_it_is_none(
    store: SupabaseStore, desk: SupabaseAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(CALLS)
    monkeypatch.setattr(supabase_desk, "MOST_ROWS", 3)
    assert (await desk.costs("day", 0)).total.micro == 170_000
    monkeypatch.setattr(supabase_desk, "MOST_ROWS", 2)
    with pytest.raises(TooMuch):
        await desk.costs("day", 0)


async def test_a_coach_follows_a_learner_until_it_is_over(
    store: SupabaseStore, desk: SupabaseAdmin
) -> None:
    assert [await desk.assign(COACH, LEARNER) for _ in range(2)] == [True, False]
    assert await store.learners(COACH) == {LEARNER}
    assert [await desk.unassign(COACH, LEARNER) for _ in range(2)] == [True, False]
    assert await store.learners(COACH) == frozenset()


@pytest.mark.parametrize("learner", ["ada", AGENT])
async def test_nobody_follows_who_is_no_user(
    store: SupabaseStore, desk: SupabaseAdmin, learner: str
) -> None:
    with pytest.raises(DatabaseRejected):
        await desk.assign(COACH, learner)
    assert await store.learners(COACH) == frozenset()

"""An operator's commands on a real project: assignments, costs, transcripts and privacy."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import get_args

import pytest

from relay.interfaces import NoSuchPerson
from relay.realtime.records import AnyRecord
from relay.stores.costs import GroupBy
from relay.stores.sqlite.reports import SqliteReader
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase import admin
from relay.stores.supabase.admin import (
    ReportTooLarge,
    SupabaseAdmin,
    SupabasePrivacy,
    SupabaseReader,
)
from relay.stores.supabase.client import RestClient
from relay.stores.supabase.errors import DatabaseNotMigrated, DatabaseRejected, DatabaseUnreadable
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
    corrected,
    texts,
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
async def operator(project: Project) -> AsyncIterator[SupabaseAdmin]:
    operator = SupabaseAdmin(RestClient(access(project)))
    yield operator
    await operator.aclose()


@pytest.mark.parametrize("by", get_args(GroupBy))
async def test_costs_are_what_the_embedded_store_says_of_the_same_calls(
    store: SupabaseStore, operator: SupabaseAdmin, tmp_path: Path, by: GroupBy
) -> None:
    path = tmp_path / "relay.db"
    embedded, reader = SqliteStore(path), SqliteReader(path)
    for place in (store, embedded):
        await place.put(CALLS)
    for since in (0, DAY + 1, DAY + 2):
        assert await operator.costs(by, since) == await reader.costs(by, since)
    assert (await operator.costs(by, 0)).total.micro == 170_000
    await embedded.aclose()
    await reader.aclose()


async def test_the_cost_of_an_erased_person_stays(
    store: SupabaseStore, operator: SupabaseAdmin, project: Project
) -> None:
    await store.put(CALLS)
    await project.sql(
        "update voice_usage set user_id = null, voice_session_id = null, conversation_id = null"
    )
    assert (await operator.costs("user", 0)).total.micro == 170_000


async def test_a_report_covers_all_rows_or_fails(
    store: SupabaseStore, operator: SupabaseAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(CALLS)
    monkeypatch.setattr(admin, "MOST_ROWS", 3)
    assert (await operator.costs("day", 0)).total.micro == 170_000
    monkeypatch.setattr(admin, "MOST_ROWS", 2)
    with pytest.raises(ReportTooLarge):
        await operator.costs("day", 0)


async def test_a_coach_follows_a_learner_until_it_is_over(
    store: SupabaseStore, operator: SupabaseAdmin
) -> None:
    assert [await operator.assign(COACH, LEARNER) for _ in range(2)] == [True, False]
    assert await store.learners(COACH) == {LEARNER}
    assert [await operator.unassign(COACH, LEARNER) for _ in range(2)] == [True, False]
    assert await store.learners(COACH) == frozenset()


@pytest.mark.parametrize("learner", ["ada", AGENT])
async def test_only_users_can_be_assigned(
    store: SupabaseStore, operator: SupabaseAdmin, learner: str
) -> None:
    with pytest.raises(DatabaseRejected):
        await operator.assign(COACH, learner)
    assert await store.learners(COACH) == frozenset()


LATER_CONVERSATION = "77777777-7777-4777-8777-777777777777"
LATER = CALL.of(
    session_id=LATER_SESSION,
    conversation_id=LATER_CONVERSATION,
    user_id=STRANGER,
    started_at=MORNING + 60,
)


@pytest.fixture
async def reader(project: Project) -> AsyncIterator[SupabaseReader]:
    reader = SupabaseReader(RestClient(access(project)))
    yield reader
    await reader.aclose()


async def test_the_most_recently_active_conversations_come_first(
    store: SupabaseStore, reader: SupabaseReader
) -> None:
    assert await reader.recent(5) == []
    await store.put([CALL.user("One?")])
    await store.put([LATER.user("Two?")])
    found = await reader.recent(5)
    assert found == [LATER_CONVERSATION, CONVERSATION]
    assert await reader.recent(1) == found[:1]
    assert texts(await reader.transcript(CONVERSATION)) == ["One?"]


async def test_following_gives_new_utterances_and_corrections(
    store: SupabaseStore, reader: SupabaseReader
) -> None:
    question = CALL.user("I sink?", seq=1)
    comes = [[CALL.assistant("So I am.", seq=2)], [corrected(question, "I think?", 3)]]
    await store.put([question])

    async def pause() -> None:
        await store.put(comes.pop(0))

    seen: list[str] = []
    async with aclosing(reader.follow(CONVERSATION, pause)) as said:
        async for record in said:
            seen.append(record.utterance.text)
            if not comes:
                break
    assert seen == ["I sink?", "So I am.", "I think?"]


async def test_many_utterances_are_forgotten_in_batches(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "FORGOTTEN_AT_ONCE", 2)
    privacy = SupabasePrivacy(RestClient(access(project)))
    async with hosted(project) as store:
        await store.put([CALL.user(f"{n}.", float(n)) for n in range(1, 6)])
        assert await privacy.forget(30, "redact") == 5
    asked = project.misbehave.seen["/rest/v1/rpc/voice_forget"]
    await privacy.aclose()

    assert asked == 4, "two, two, one, none"


async def test_an_id_that_is_not_a_uuid_is_no_person_of_the_project(project: Project) -> None:
    privacy = SupabasePrivacy(RestClient(access(project)))
    for question in (privacy.export("ada"), privacy.erase("ada")):
        with pytest.raises(NoSuchPerson):
            await question
    await privacy.aclose()


async def test_a_database_that_was_not_migrated_is_reported(s3_project: Project) -> None:
    privacy = SupabasePrivacy(RestClient(access(s3_project)))
    with pytest.raises(DatabaseNotMigrated):
        await privacy.erase(LEARNER)
    await privacy.aclose()


@pytest.mark.parametrize("what", ["'null'::jsonb", "'[]'::jsonb"])
async def test_an_unreadable_answer_is_not_a_success(project: Project, what: str) -> None:
    await project.sql(
        "create or replace function voice_erase(user_id uuid) returns jsonb"
        f" language sql as $$ select {what} $$"
    )
    privacy = SupabasePrivacy(RestClient(access(project)))
    with pytest.raises(DatabaseUnreadable):
        await privacy.erase(LEARNER)
    await privacy.aclose()

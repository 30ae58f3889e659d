"""Retention, export and erasure in every store: the embedded one, and a real project."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.interfaces import PrivacyStore, Store
from relay.stores.sqlite.privacy import SqlitePrivacy
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase.admin import SupabasePrivacy
from relay.stores.supabase.client import RestClient
from tests.components import needs
from tests.stores.hosted import access, hosted
from tests.stores.words import CONVERSATION, LEARNER, STRANGER, Call
from tests.supabase.fixtures import Projects

CALL = Call()
RECENT = CALL.of(
    session_id="eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee",
    conversation_id="ffffffff-ffff-4fff-8fff-ffffffffffff",
    started_at=1_900_000_000.0,
)

"""A call in the future is never too old."""

HERS = CALL.of(
    session_id="bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
    conversation_id="cccccccc-cccc-4ccc-8ccc-cccccccccccd",
    user_id=STRANGER,
)

HALF_HEARD = CALL.assistant("All of it.", 3.0, heard_text="All", state="interrupted")


@dataclass
class Place:
    """A store with three calls in it, for relays and for those who run them."""

    store: Store
    people: PrivacyStore


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Place]:
    store, people = SqliteStore(folder / "relay.db"), SqlitePrivacy(folder / "relay.db")
    try:
        yield Place(store, people)
    finally:
        await people.aclose()
        await store.aclose()


@asynccontextmanager
async def in_a_project(projects: Projects) -> AsyncIterator[Place]:
    with projects.copy("s3_migrated") as project:
        async with hosted(project) as store:
            people = SupabasePrivacy(RestClient(access(project)))
            try:
                yield Place(store, people)
            finally:
                await people.aclose()


@pytest.fixture(params=["sqlite", pytest.param("supabase", marks=needs("postgresql", "postgrest"))])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as closing:
        way = (
            embedded(tmp_path)
            if request.param == "sqlite"
            else in_a_project(request.getfixturevalue("projects"))
        )
        place = await closing.enter_async_context(way)
        await place.store.put([CALL.user("When?"), CALL.assistant("At nine."), HALF_HEARD])
        await place.store.put([RECENT.user("Again."), HERS.user("Where?")])
        await place.store.put([HERS.assistant("There."), HERS.begun(), HERS.used(200)])
        await place.store.put([CALL.begun(), CALL.ended(60), CALL.used(100)])
        yield place


async def said(place: Place, call: Call) -> list[str]:
    found = await place.store.transcript(call.conversation_id)
    return [record.utterance.text for record in found]


async def test_old_utterances_are_deleted_and_the_rest_stays(place: Place) -> None:
    assert await place.people.count_old(30, "delete") == 5
    assert await place.people.forget(30, "delete") == 5
    assert await said(place, CALL) == await said(place, HERS) == []
    assert await said(place, RECENT) == ["Again."]
    assert await place.store.owner(CONVERSATION) is None, "nothing was left of it"
    assert await place.people.forget(30, "delete") == 0


async def test_old_utterances_are_emptied_and_keep_their_place(place: Place) -> None:
    assert await place.people.count_old(30, "redact") == 5
    assert await place.people.forget(30, "redact") == 5
    assert await place.people.count_old(30, "redact") == 0
    assert await said(place, CALL) == ["", "", ""]
    assert await said(place, RECENT) == ["Again."]
    emptied = await place.store.transcript(CONVERSATION)
    assert [record.utterance.heard_text for record in emptied] == ["", "", ""]
    assert emptied[2].utterance.state == "interrupted"
    assert await place.people.forget(30, "redact") == 0


async def test_a_repeated_record_does_not_restore_forgotten_text(place: Place) -> None:
    await place.people.forget(30, "redact")
    await place.store.put([CALL.user("When?"), HALF_HEARD])

    assert await said(place, CALL) == ["", "", ""]


async def test_everything_stored_about_one_person_is_exported(place: Place) -> None:
    told = json.loads(json.dumps(await place.people.export(LEARNER)))

    assert set(told) == {
        *("user_id", "exported_at", "conversations", "said_elsewhere", "calls", "usage"),
        *("assignments", "coach_actions"),
    }
    first, second = told["conversations"]
    assert [row["content"]["text"] for row in first["messages"]] == ["When?", "At nine.", "All"]
    assert first["messages"][2]["metadata"]["full_text"] == "All of it."
    assert [row["content"]["text"] for row in second["messages"]] == ["Again."]
    assert [row["ending"] for row in told["calls"]] == ["client_left"]
    assert [row["cost_micro"] for row in told["usage"]] == [100]
    assert "There." not in json.dumps(told)


async def test_one_person_is_erased_and_no_one_else(place: Place) -> None:
    counts = await place.people.erase(LEARNER)

    assert counts == {
        "messages": 4,
        "conversations": 2,
        "calls": 1,
        "usage": 1,
        "assignments": 0,
        "coach_actions": 0,
    }
    assert await said(place, CALL) == await said(place, RECENT) == []
    assert await said(place, HERS) == ["Where?", "There."]
    told = await place.people.export(LEARNER)
    kinds = set(told) - {"user_id", "exported_at"}
    assert [told[kind] for kind in kinds] == [[]] * len(kinds)
    assert await place.store.spent(20_370, CALL.agent_id) == 300, "the accounts stay whole"
    assert await place.store.spent(20_370, CALL.agent_id, LEARNER) == 0
    assert not any((await place.people.erase(LEARNER)).values())

"""The functions of a project as they are asked, and answers that are none of theirs."""

import pytest

from relay.interfaces import NoSuchPerson
from relay.stores.supabase import admin as supabase_people
from relay.stores.supabase.admin import SupabasePeople
from relay.stores.supabase.client import RestClient
from relay.stores.supabase.errors import DatabaseNotMigrated, DatabaseUnreadable
from tests.components import needs
from tests.stores.hosted import access, hosted
from tests.stores.words import LEARNER, Call
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
CALL = Call()


async def test_many_words_are_forgotten_some_at_a_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase_people, "AT_ONCE", 2)
    people = SupabasePeople(RestClient(access(project)))
    async with hosted(project) as store:
        await store.put([CALL.user(f"{n}.", float(n)) for n in range(1, 6)])
        assert await people.forget(30, "redact") == 5
    asked = project.misbehave.seen["/rest/v1/rpc/voice_forget"]
    await people.aclose()

    assert asked == 4, "two, two, one, none"


async def test_who_has_no_uuid_is_nobody_of_the_project(project: Project) -> None:
    people = SupabasePeople(RestClient(access(project)))
    for question in (people.export("ada"), people.erase("ada")):
        with pytest.raises(NoSuchPerson):
            await question
    await people.aclose()


async def test_a_database_that_was_not_migrated_is_told(s3_project: Project) -> None:
    people = SupabasePeople(RestClient(access(s3_project)))
    with pytest.raises(DatabaseNotMigrated):
        await people.erase(LEARNER)
    await people.aclose()


@pytest.mark.parametrize("what", ["'null'::jsonb", "'[]'::jsonb"])
async def test_an_answer_that_is_none_is_no_success(project: Project, what: str) -> None:
    await project.sql(
        "create or replace function voice_erase(user_id uuid) returns jsonb"
        f" language sql as $$ select {what} $$"
    )
    people = SupabasePeople(RestClient(access(project)))
    with pytest.raises(DatabaseUnreadable):
        await people.erase(LEARNER)
    await people.aclose()

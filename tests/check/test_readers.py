"""Tables that strangers could read, and such as not even coaches could."""

import pytest

from relay.check.supabase import readers
from tests.check.projects import asked
from tests.components import needs
from tests.supabase.api import Api
from tests.supabase.people import settle
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


async def test_migrated_tables_are_closed(project: Project) -> None:
    found = await readers(await asked(project))

    assert (found.state, found.what) == (
        "ok",
        "row-level security and policies are on for 8 tables",
    )


@pytest.mark.parametrize("table", ["chat_messages_v2", "voice_usage", "system_api_keys"])
async def test_row_level_security_that_is_off_is_told(project: Project, table: str) -> None:
    """Nobody is asked in anybody's name for it: the database says so itself."""
    await settle(project)
    await project.sql(f"alter table {table} disable row level security")
    await project.sql(f"grant select on {table} to anon")
    found = await readers(await asked(project))

    assert await Api(project, anon=True).rows(table), "anybody can indeed read it"
    assert (found.state, found.what) == (
        "fail",
        f"anybody may read {table}: row-level security is off",
    )
    assert f"`alter table {table} enable row level security;`" in found.mend


async def test_a_table_without_a_policy_is_told(project: Project) -> None:
    await project.sql(
        'drop policy "voice: learners and their coaches read calls" on voice_sessions'
    )
    found = await readers(await asked(project))

    assert found.state == "fail"
    assert found.what == "no policy lets learners and coaches read voice_sessions"
    assert "20261121000300_access.sql" in found.mend


async def test_a_policy_for_everybody_is_told(project: Project) -> None:
    await project.sql('create policy "open" on chat_messages_v2 for select using (true)')
    found = await readers(await asked(project))

    assert found.state == "fail"
    assert found.what == "a policy lets anybody read all of chat_messages_v2"
    assert "drop the policy" in found.mend


async def test_without_the_function_nothing_is_claimed(s3_project: Project) -> None:
    found = await readers(await asked(s3_project))

    assert found.state == "skip"
    assert found.what.startswith("not looked at")

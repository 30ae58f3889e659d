"""Tables that anybody could read, and tables that not even coaches could."""

import pytest

from relay.check.supabase import check_access
from tests.check.projects import client_of
from tests.components import needs
from tests.supabase.api import Api
from tests.supabase.people import settle
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


async def test_migrated_tables_pass(project: Project) -> None:
    found = await check_access(await client_of(project))

    assert (found.state, found.what) == (
        "ok",
        "row-level security and policies are on for 8 tables",
    )


@pytest.mark.parametrize("table", ["chat_messages_v2", "voice_usage", "system_api_keys"])
async def test_row_level_security_that_is_off_fails(project: Project, table: str) -> None:
    """The database itself reports it: no request in a user's name is needed."""
    await settle(project)
    await project.sql(f"alter table {table} disable row level security")
    await project.sql(f"grant select on {table} to anon")
    found = await check_access(await client_of(project))

    assert await Api(project, anon=True).rows(table), "anybody can in fact read it"
    assert (found.state, found.what) == (
        "fail",
        f"anybody may read {table}: row-level security is off",
    )
    assert f"`alter table {table} enable row level security;`" in found.hint


async def test_a_table_without_a_policy_fails(project: Project) -> None:
    await project.sql(
        'drop policy "voice: learners and their coaches read calls" on voice_sessions'
    )
    found = await check_access(await client_of(project))

    assert found.state == "fail"
    assert found.what == "no policy lets learners and coaches read voice_sessions"
    assert "20261121000300_access.sql" in found.hint


async def test_a_policy_for_everybody_fails(project: Project) -> None:
    await project.sql('create policy "open" on chat_messages_v2 for select using (true)')
    found = await check_access(await client_of(project))

    assert found.state == "fail"
    assert found.what == "a policy lets anybody read all of chat_messages_v2"
    assert "drop the policy" in found.hint


async def test_without_the_function_the_check_is_skipped(s3_project: Project) -> None:
    found = await check_access(await client_of(s3_project))

    assert found.state == "skip"
    assert found.what.startswith("not checked")

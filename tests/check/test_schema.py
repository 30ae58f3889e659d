"""Databases as the relay needs them, and databases that were not brought up to date."""

import asyncio
from pathlib import Path

import pytest

from relay.check.runner import CheckResult
from relay.check.supabase import (
    CHAT_TABLES,
    MIGRATE_HINT,
    RELAY_FUNCTIONS,
    RELAY_TABLES,
    RELOAD_HINT,
    ProjectClient,
    api_schema,
    check_api_cache,
    check_chat_tables,
    check_relay_tables,
    check_schema,
    database_schema,
)
from tests.check.projects import api_at_rest, client_of
from tests.components import needs
from tests.supabase.fixtures import migrations
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
CHECKS = (check_api_cache, check_chat_tables, check_relay_tables, check_schema)
NOTIFY = "notify pgrst, 'reload schema';"


async def all_of(client: ProjectClient) -> list[CheckResult]:
    return [await check(client) for check in CHECKS]


def states(results: list[CheckResult]) -> list[str]:
    return [result.state for result in results]


@pytest.mark.parametrize("state", ["migrated", "s3_migrated"])
async def test_a_migrated_database_passes(state: str, request: pytest.FixtureRequest) -> None:
    names = {"migrated": "fresh_project", "s3_migrated": "project"}
    client = await client_of(request.getfixturevalue(names[state]))

    assert states(await all_of(client)) == ["ok"] * 4


async def test_a_new_project_lacks_everything(empty_project: Project) -> None:
    _, chat, calls, _ = await all_of(await client_of(empty_project))

    assert (chat.state, calls.state) == ("fail", "fail")
    assert chat.what.startswith("the text chat's tables are missing: agents, conversation_sessions")
    assert "20261121000100_s3_tables.sql" in chat.hint
    assert "voice_put()" in calls.what
    assert calls.hint == MIGRATE_HINT


async def test_the_text_chats_database_lacks_only_the_relays_own(s3_project: Project) -> None:
    found = await all_of(await client_of(s3_project))

    assert states(found) == ["ok", "ok", "fail", "ok"]
    assert found[2].what.startswith("the relay's own are missing: voice_sessions, voice_usage")
    assert found[2].hint == MIGRATE_HINT


@pytest.mark.parametrize("missing", ["table voice_usage", "function voice_feed"])
async def test_a_missing_table_or_function_is_named(project: Project, missing: str) -> None:
    await project.sql(f"drop {missing} cascade")
    await project.restart_api()
    found = await check_relay_tables(await client_of(project))

    assert found.state == "fail"
    assert missing.split()[1] in found.what
    assert found.hint == MIGRATE_HINT


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("alter table voice_usage drop column reasoning", "voice_usage.reasoning"),
        ("alter table chat_messages_v2 drop column updated_at", "chat_messages_v2.updated_at"),
        (
            "drop function voice_forget; create function voice_forget(days integer)"
            " returns integer language sql as 'select 0'",
            "voice_forget()",
        ),
    ],
)
async def test_an_old_schema_is_reported_by_what_it_lacks(
    project: Project, change: str, named: str
) -> None:
    await project.sql(change)
    await project.restart_api()
    found = await check_schema(await client_of(project))

    assert (found.state, found.hint) == ("fail", MIGRATE_HINT)
    assert found.what == f"the schema is of another version, without {named}"


async def test_a_function_that_cannot_be_called_fails(project: Project) -> None:
    await project.sql("revoke execute on function voice_put(jsonb) from service_role")
    found = await check_schema(await client_of(project))

    assert (found.state, found.what) == ("fail", "voice_put() cannot be called: 42501")


async def test_an_api_that_has_not_noticed_the_migrations_fails(
    empty_project: Project, tmp_path: Path
) -> None:
    """The migrations without their last line, which tells the API to reload its schema."""
    for path in migrations():
        (tmp_path / path.name).write_text(path.read_text().replace(NOTIFY, ""))
    await api_at_rest(empty_project)
    await empty_project.script(*sorted(tmp_path.iterdir()))
    found = await all_of(await client_of(empty_project))

    assert states(found) == ["fail", "skip", "skip", "skip"]
    assert found[0].what == "the project's API has not noticed voice_check"
    assert found[0].hint == RELOAD_HINT
    await empty_project.sql(RELOAD_HINT.split("`")[1])
    for _ in range(100):  # the API reloads when it gets to it
        if "voice_usage" in api_schema(await client_of(empty_project)).tables:
            break
        await asyncio.sleep(0.05)
    assert states(await all_of(await client_of(empty_project))) == ["ok"] * 4


async def test_an_api_that_has_not_noticed_a_column_fails(project: Project) -> None:
    await project.sql("alter table voice_usage drop column reasoning")
    await project.restart_api()
    await api_at_rest(project)
    await project.sql("alter table voice_usage add column reasoning bigint not null default 0")
    client = await client_of(project)
    found = await check_api_cache(client)

    assert (found.state, found.hint) == ("fail", RELOAD_HINT)
    assert found.what == "the project's API has not noticed voice_usage.reasoning"
    assert (await check_schema(client)).state == "ok"


async def test_the_migrations_make_every_table_as_it_is_expected(fresh_project: Project) -> None:
    actual = database_schema(await client_of(fresh_project))
    made = {name: actual.tables[name] for name in RELAY_TABLES}

    assert made == RELAY_TABLES
    for name, columns in CHAT_TABLES.items():
        assert columns <= actual.tables[name]


async def test_the_migrations_make_every_function_with_its_arguments(
    fresh_project: Project,
) -> None:
    actual = database_schema(await client_of(fresh_project))

    for name, arguments in RELAY_FUNCTIONS.items():
        assert arguments <= actual.functions[name]

"""Databases as the relay needs them, and such as somebody has forgotten to bring up to date."""

import asyncio
from pathlib import Path

import pytest

from relay.check.runner import CheckResult
from relay.check.supabase import (
    MIGRATE,
    RELOAD,
    ProjectClient,
    cache,
    call_tables,
    chat_tables,
    described,
    schema,
)
from tests.check.projects import api_at_rest, asked
from tests.components import needs
from tests.supabase.fixtures import migrations
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
NOTIFY = "notify pgrst, 'reload schema';"


async def all_of(hosted: ProjectClient) -> list[CheckResult]:
    return [await look(hosted) for look in (cache, chat_tables, call_tables, schema)]


def states(found: list[CheckResult]) -> list[str]:
    return [finding.state for finding in found]


@pytest.mark.parametrize("state", ["migrated", "s3_migrated"])
async def test_a_migrated_database_is_well(state: str, request: pytest.FixtureRequest) -> None:
    names = {"migrated": "fresh_project", "s3_migrated": "project"}
    hosted = await asked(request.getfixturevalue(names[state]))

    assert states(await all_of(hosted)) == ["ok"] * 4


async def test_a_new_project_lacks_everything(empty_project: Project) -> None:
    _, chat, calls, _ = await all_of(await asked(empty_project))

    assert (chat.state, calls.state) == ("fail", "fail")
    assert chat.what.startswith("the text chat's tables are missing: agents, conversation_sessions")
    assert "20261121000100_s3_tables.sql" in chat.mend
    assert "voice_put()" in calls.what
    assert calls.mend == MIGRATE


async def test_the_text_chats_database_lacks_ours_alone(s3_project: Project) -> None:
    found = await all_of(await asked(s3_project))

    assert states(found) == ["ok", "ok", "fail", "ok"]
    assert found[2].what.startswith("the relay's own are missing: voice_sessions, voice_usage")
    assert found[2].mend == MIGRATE


@pytest.mark.parametrize("missing", ["table voice_usage", "function voice_feed"])
async def test_one_that_is_missing_is_named(project: Project, missing: str) -> None:
    await project.sql(f"drop {missing} cascade")
    await project.restart_api()
    found = await call_tables(await asked(project))

    assert found.state == "fail"
    assert missing.split()[1] in found.what
    assert found.mend == MIGRATE


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
async def test_an_old_schema_is_told_by_what_it_lacks(
    project: Project, change: str, named: str
) -> None:
    await project.sql(change)
    await project.restart_api()
    found = await schema(await asked(project))

    assert (found.state, found.mend) == ("fail", MIGRATE)
    assert found.what == f"the schema is of another version, without {named}"


async def test_a_function_that_cannot_be_called_is_told(project: Project) -> None:
    await project.sql("revoke execute on function voice_put(jsonb) from service_role")
    found = await schema(await asked(project))

    assert (found.state, found.what) == ("fail", "voice_put() cannot be called: 42501")


async def test_an_api_that_has_not_noticed_the_migrations_is_told(
    empty_project: Project, tmp_path: Path
) -> None:
    """Without the last line of the files: nobody tells the API to read the schema again."""
    for path in migrations():
        (tmp_path / path.name).write_text(path.read_text().replace(NOTIFY, ""))
    await api_at_rest(empty_project)
    await empty_project.script(*sorted(tmp_path.iterdir()))
    found = await all_of(await asked(empty_project))

    assert states(found) == ["fail", "skip", "skip", "skip"]
    assert found[0].what == "the project's API has not noticed voice_check"
    assert found[0].mend == RELOAD
    await empty_project.sql(RELOAD.split("`")[1])
    for _ in range(100):  # it reads it in its own time
        if "voice_usage" in described(await asked(empty_project)).tables:
            break
        await asyncio.sleep(0.05)
    assert states(await all_of(await asked(empty_project))) == ["ok"] * 4


async def test_an_api_that_has_not_noticed_a_column_is_told(project: Project) -> None:
    await project.sql("alter table voice_usage drop column reasoning")
    await project.restart_api()
    await api_at_rest(project)
    await project.sql("alter table voice_usage add column reasoning bigint not null default 0")
    hosted = await asked(project)
    found = await cache(hosted)

    assert (found.state, found.mend) == ("fail", RELOAD)
    assert found.what == "the project's API has not noticed voice_usage.reasoning"
    assert (await schema(hosted)).state == "ok"

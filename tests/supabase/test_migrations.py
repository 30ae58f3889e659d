"""The migrations: again and again, on a new project and on S3's database with data in it."""

import re

import pytest

from tests.components import needs
from tests.stores.words import AGENT, CONVERSATION, LEARNER, SESSION
from tests.supabase.fixtures import migrations
from tests.supabase.people import settle
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

SHAPE = """
select 'column', table_name || '.' || column_name,
  concat_ws(' ', data_type, character_maximum_length, is_nullable, column_default)
from information_schema.columns where table_schema = 'public'
union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
union all select 'policy', tablename || '.' || policyname, concat(roles, cmd, qual, with_check)
from pg_policies where schemaname in ('public', 'realtime')
union all select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
union all select 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid)
from pg_trigger where not tgisinternal
union all select 'function', oid::regprocedure::text, md5(prosrc) || coalesce(proacl::text, '')
from pg_proc where pronamespace = 'public'::regnamespace
union all select 'table', relname, concat(relrowsecurity, relacl)
from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
"""


async def shape(project: Project) -> set[tuple[str, ...]]:
    return {tuple(row) for row in await project.sql(SHAPE)}


async def test_applying_the_migrations_again_changes_nothing(fresh_project: Project) -> None:
    before = await shape(fresh_project)
    await settle(fresh_project)
    await fresh_project.script(*migrations())
    assert await shape(fresh_project) == before
    assert await fresh_project.sql("select count(*) from chat_messages_v2") == [(4,)]


async def test_calls_at_the_browser_door_get_its_present_name(fresh_project: Project) -> None:
    await settle(fresh_project)
    doors = "select door from voice_sessions"
    before = await fresh_project.sql(doors)
    await fresh_project.sql("update voice_sessions set door = 's3'")
    await fresh_project.script(*migrations())
    assert await fresh_project.sql(doors) == before == [("browser",)] * len(before)
    assert before


async def test_S3s_database_keeps_its_tables_and_data(s3_project: Project) -> None:
    await s3_project.add_user(LEARNER)
    await s3_project.add_agent(AGENT, user_id=LEARNER)
    await s3_project.sql(
        "insert into conversation_sessions (id, conversation_id, user_id) values (%s, %s, %s)",
        *(SESSION, CONVERSATION, LEARNER),
    )
    await s3_project.sql(
        "insert into chat_messages_v2 (conversation_id, session_id, sender_user_id, role, content,"
        " metadata) values (%s, %s, %s, 'user', %s, %s)",
        *(
            CONVERSATION,
            SESSION,
            LEARNER,
            {"type": "text", "text": "typed"},
            {"seq": "not a number"},
        ),
    )
    before, data = await shape(s3_project), "select to_jsonb(m) from chat_messages_v2 m"
    typed = await s3_project.sql(data)
    await s3_project.script(*migrations())
    after = await shape(s3_project)
    assert before <= after
    await s3_project.script(*migrations())
    assert await shape(s3_project) == after
    assert await s3_project.sql(data) == typed
    assert {name for kind, name, _ in after - before if kind == "table"} == {
        "coach_actions",
        "coach_assignments",
        "voice_agents",
        "voice_sessions",
        "voice_usage",
    }
    triggers = {name for kind, name, _ in after - before if kind == "trigger"}
    assert triggers == {
        "chat_messages_v2.voice_broadcast_new",
        "chat_messages_v2.voice_broadcast_changed",
    }


@pytest.mark.parametrize("table", ["conversation_sessions", "chat_messages_v2"])
async def test_a_new_project_has_S3s_columns(
    fresh_project: Project, s3_project: Project, table: str
) -> None:
    query = (
        "select column_name, data_type, character_maximum_length from information_schema.columns"
        " where table_schema = 'public' and table_name = %s order by 1"
    )
    ours, theirs = await fresh_project.sql(query, table), await s3_project.sql(query, table)
    assert ours == theirs
    assert len(ours) > 10


async def test_without_realtime_and_vault_only_their_parts_are_missing(
    empty_project: Project,
) -> None:
    await empty_project.sql("drop schema realtime cascade")
    await empty_project.sql("drop schema vault cascade")
    await empty_project.script(*migrations())
    await empty_project.restart_api()
    assert await empty_project.sql("select * from get_secret('openai'::text)") == []
    await settle(empty_project)
    assert await empty_project.sql("select count(*) from chat_messages_v2") == [(4,)]


def test_migrations_are_ordered_and_described() -> None:
    names = [path.name for path in migrations()]
    assert len(names) == len({name[:14] for name in names}) >= 6
    for path in migrations():
        assert re.fullmatch(r"\d{14}_[a-z0-9_]+\.sql", path.name)
        assert path.read_text().startswith("-- ")

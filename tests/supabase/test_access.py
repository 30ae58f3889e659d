"""S3-84: each role and person against each table, through the real API with real tokens."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.stores.rows import conversation_row, message_row, session_row, usage_row
from tests.components import needs
from tests.stores.words import AGENT, CONVERSATION, LEARNER, SESSION
from tests.supabase.api import Api
from tests.supabase.fixtures import Projects
from tests.supabase.people import (
    CALL,
    COACH,
    OTHER_COACH,
    OWNER,
    WHISPER,
    around,
    callers,
    settle,
)
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

MINE, HERS = "mine", "hers"
NOT_SERVICE = ("learner", "stranger", "coach", "other coach", "anon")
KEY = {"voice_agents": "agent_id", "coach_assignments": "learner_id"}
SPARE = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"


@pytest.fixture(params=["s3_migrated", "migrated"])
async def place(request: pytest.FixtureRequest, projects: Projects) -> AsyncIterator[Project]:
    with projects.copy(request.param) as project:
        await settle(project)
        yield project


READERS: dict[str, dict[str, set[str]]] = {
    "conversation_sessions": {"learner": {MINE}, "coach": {MINE}},
    "chat_messages_v2": {"learner": {MINE}, "coach": {MINE}},
    "voice_sessions": {"learner": {MINE}, "coach": {MINE}},
    "voice_usage": {"learner": {MINE}, "coach": {MINE}},
    "coach_assignments": {"learner": {MINE}, "coach": {MINE}},
    "coach_actions": {"coach": {MINE}},
    "voice_agents": {},
    "system_api_keys": {},
    "agents": {},
    "chat_channels": {},
}
"""Who sees which rows of the learner's (`mine`) and of the stranger's; theirs mirror these."""
MIRROR = {"stranger": "learner", "other coach": "coach"}
COUNTS = {"chat_messages_v2": 2, "coach_actions": 1}


def whose(table: str, row: dict[str, Any]) -> str:
    marks = {LEARNER, CONVERSATION, SESSION}
    return MINE if marks & {value for value in row.values() if isinstance(value, str)} else HERS


@pytest.mark.parametrize("table", READERS)
async def test_S3_84_each_person_reads_only_their_own_rows(place: Project, table: str) -> None:
    for name, caller in callers(place).items():
        answer = await caller.ask("GET", f"/{table}")
        rows = answer.json() if answer.status_code == 200 else []
        assert answer.status_code in (200, 401, 403), answer.text
        if name == "service":
            assert answer.status_code == 200
            continue
        expected = READERS[table].get(MIRROR.get(name, name), set())
        if name in MIRROR and table != "coach_actions":
            expected = {HERS for _ in expected}
        elif name in MIRROR:
            expected = set()
        assert {whose(table, row) for row in rows} == expected, (name, rows)
        assert len(rows) == len(expected) * COUNTS.get(table, 1), (name, rows)


async def test_S3_84_the_learner_and_the_coach_read_questions_and_answers(
    place: Project,
) -> None:
    for name in ("learner", "coach"):
        rows = await callers(place)[name].rows("chat_messages_v2", order="created_at")
        assert [row["content"]["text"] for row in rows] == ["When?", "At nine."], name


async def test_a_withdrawn_assignment_ends_the_coachs_access(place: Project) -> None:
    coach = callers(place)["coach"]
    assert len(await coach.rows("chat_messages_v2")) == 2
    await place.sql("delete from coach_assignments where coach_id = %s", COACH)
    for table in ("conversation_sessions", "chat_messages_v2", "voice_sessions", "voice_usage"):
        assert await coach.rows(table) == [], table


def new_rows() -> dict[str, dict[str, Any]]:
    """A row for each table that would be good, were the caller allowed to write."""
    usage, session = around(CALL)
    record = CALL.user("Forged.")
    return {
        "conversation_sessions": conversation_row(record.head)
        | {"id": SPARE, "conversation_id": SPARE},
        "chat_messages_v2": message_row(record, CONVERSATION) | {"id": SPARE},
        "voice_sessions": session_row(session) | {"id": SPARE},  # type: ignore[arg-type]
        "voice_usage": usage_row(usage) | {"id": SPARE},  # type: ignore[arg-type]
        "coach_assignments": {"coach_id": OTHER_COACH, "learner_id": LEARNER},
        "coach_actions": {"session_id": SESSION, "coach_id": COACH, "action": "note"},
        "voice_agents": {"agent_id": SPARE},
        "system_api_keys": {"provider_name": "x", "display_name": "X"},
    }


CHANGES: dict[str, dict[str, Any]] = {
    "conversation_sessions": {"title": "Mine now"},
    "chat_messages_v2": {"content": {"type": "text", "text": "Never said."}},
    "voice_sessions": {"model": "other"},
    "voice_usage": {"cost_micro": 0},
    "coach_assignments": {"coach_id": OTHER_COACH},
    "coach_actions": {"details": {}},
    "voice_agents": {"settings": {"voice": "alloy"}},
    "system_api_keys": {"is_active": True},
}


@pytest.mark.parametrize("table", CHANGES)
async def test_S3_84_only_the_service_writes(fresh_project: Project, table: str) -> None:
    await settle(fresh_project)
    query = f"select to_jsonb(t) from {table} t order by 1"  # noqa: S608
    before = await fresh_project.sql(query)
    for name in NOT_SERVICE:
        caller = callers(fresh_project)[name]
        key = {KEY.get(table, "id"): "not.is.null"}
        attempts = [
            await caller.ask("POST", f"/{table}", new_rows()[table]),
            await caller.ask("PATCH", f"/{table}", CHANGES[table], **key),
            await caller.ask("DELETE", f"/{table}", None, **key),
        ]
        assert {answer.status_code for answer in attempts} <= {401, 403}, name
    assert await fresh_project.sql(query) == before


@pytest.mark.parametrize("table", CHANGES)
async def test_S3_84_with_the_text_chats_policies_writes_stay_within_them(
    project: Project, table: str
) -> None:
    """Learners may add and change their own conversation's row, as before; no more."""
    await settle(project)
    query = f"select to_jsonb(t) from {table} t order by 1"  # noqa: S608
    before = await project.sql(query)
    for name in NOT_SERVICE:
        caller = callers(project)[name]
        if table == "conversation_sessions" and name in ("learner", "stranger"):
            continue
        await caller.ask("POST", f"/{table}", new_rows()[table])
        for method, body in (("PATCH", CHANGES[table]), ("DELETE", None)):
            await caller.ask(method, f"/{table}", body, **{KEY.get(table, "id"): "not.is.null"})
        assert await project.sql(query) == before, name


async def test_the_text_chat_still_writes_and_reads_as_before(project: Project) -> None:
    await settle(project)
    learner, owner = callers(project)["learner"], Api(project, project.mint(OWNER))
    chat = {"id": SPARE, "conversation_id": SPARE, "user_id": LEARNER, "agent_id": AGENT}
    message = {
        "conversation_id": SPARE,
        "session_id": SPARE,
        "role": "user",
        "sender_user_id": LEARNER,
        "content": {"type": "text", "text": "typed"},
        "metadata": {"target_agent_id": AGENT},
    }
    assert (await learner.ask("POST", "/conversation_sessions", chat)).status_code == 201
    assert (await learner.ask("POST", "/chat_messages_v2", message)).status_code == 201
    archive = {"status": "abandoned"}
    answer = await learner.ask("PATCH", "/conversation_sessions", archive, id=f"eq.{SPARE}")
    assert [row["message_count"] for row in answer.json()] == [1]
    assert (
        await learner.ask("POST", "/chat_messages_v2", message | {"sender_user_id": COACH})
    ).status_code == 403
    assert len(await owner.rows("chat_messages_v2")) == 5


async def test_typed_messages_cannot_pose_as_spoken(project: Project) -> None:
    await settle(project)
    learner, row = callers(project)["learner"], new_rows()["chat_messages_v2"]
    forged = await learner.ask("POST", "/chat_messages_v2", row)
    assert (forged.status_code, forged.json()["code"]) == (403, "42501")
    typed = row | {"metadata": {"target_agent_id": AGENT}}
    assert (await learner.ask("POST", "/chat_messages_v2", typed)).status_code == 201
    await project.sql(
        "create policy change on chat_messages_v2 for all using (true) with check (true)"
    )
    changed = await learner.ask("PATCH", "/chat_messages_v2", row, id=f"eq.{SPARE}")
    assert (changed.status_code, changed.json()["code"]) == (403, "42501")
    gone = await learner.ask("DELETE", "/chat_messages_v2", None, id="not.is.null")
    assert [one["id"] for one in gone.json()] == [SPARE]


@pytest.mark.parametrize("table", CHANGES)
async def test_the_service_reads_and_writes_all(place: Project, table: str) -> None:
    service, row = callers(place)["service"], new_rows()[table]
    if table == "voice_agents":
        await place.add_agent(SPARE)
    key = KEY.get(table, "id")
    made = await service.ask("POST", f"/{table}", row)
    assert made.status_code == 201, made.text
    name = f"eq.{made.json()[0][key]}"
    one = {key: name} | ({"coach_id": f"eq.{OTHER_COACH}"} if table == "coach_assignments" else {})
    changed = await service.ask("PATCH", f"/{table}", CHANGES[table], **one)
    assert (changed.status_code, len(changed.json())) == (200, 1), changed.text
    gone = await service.ask("DELETE", f"/{table}", None, **one)
    assert (gone.status_code, len(gone.json())) == (200, 1), gone.text


FUNCTIONS: dict[str, dict[str, Any]] = {
    "voice_put": {"records": []},
    "voice_put_all": {"records": []},
    "voice_spent": {"day": "2025-10-09", "agent": AGENT},
    "voice_forget": {"days": 0, "mode": "delete"},
    "voice_recount": {"conversations": [CONVERSATION]},
    "voice_export": {"user_id": LEARNER},
    "voice_erase": {"user_id": LEARNER},
    "get_secret": {"secret_id": SPARE},
}


@pytest.mark.parametrize("function", FUNCTIONS)
async def test_only_the_service_may_call_its_functions(place: Project, function: str) -> None:
    for name, caller in callers(place).items():
        if name != "service":
            answer = await caller.ask("POST", f"/rpc/{function}", FUNCTIONS[function])
            assert answer.status_code in (401, 403, 404), (name, answer.text)
    answer = await callers(place)["service"].ask("POST", f"/rpc/{function}", FUNCTIONS[function])
    assert answer.status_code in (200, 204), answer.text


async def test_every_table_has_row_level_security_and_no_function_is_open(place: Project) -> None:
    """What a later migration forgets is found here."""
    bare = await place.sql(
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p') and not relrowsecurity and relname <> 'chat_channels'"
    )
    ours = (
        "select proname, has_function_privilege('anon', oid, 'execute'),"
        " coalesce(array_to_string(proconfig, ','), '') like 'search_path=%'"
        " from pg_proc where pronamespace = 'public'::regnamespace"
        " and (proname like 'voice%' or proname in ('get_secret', 'chat_messages_counted'))"
    )
    functions = await place.sql(ours)
    assert bare == []
    assert len(functions) >= 10
    assert {(anyone, has_path) for _, anyone, has_path in functions} == {(False, True)}


async def test_a_whisper_is_visible_to_the_coach_only(place: Project) -> None:
    seen = {
        name: await caller.ask("GET", f"/coach_actions?id=eq.{WHISPER}")
        for name, caller in callers(place).items()
    }
    who = {name for name, answer in seen.items() if answer.status_code == 200 and answer.json()}
    assert who == {"coach", "service"}

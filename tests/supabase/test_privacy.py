"""Retention, export and erasure by the project's SQL functions."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.components import needs
from tests.stores.words import AGENT, CONVERSATION, LEARNER, MORNING, SESSION, STRANGER
from tests.supabase.api import Api
from tests.supabase.fixtures import Projects
from tests.supabase.people import CALL, COACH, HER_CALL, WHISPER, settle
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

NOW = 1_900_000_000.0  # a call in the future is never too old
RECENT = CALL.of(session_id="eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee", started_at=NOW)
TYPED = "ffffffff-ffff-4fff-8fff-ffffffffffff"


@pytest.fixture(params=["s3_migrated", "migrated"])
async def place(request: pytest.FixtureRequest, projects: Projects) -> AsyncIterator[Project]:
    """Two learners with a call each of long ago; the first also has typed and calls again."""
    with projects.copy(request.param) as project:
        await settle(project)
        await Api(project).put(RECENT.user("Again."))
        await project.sql(
            "insert into chat_messages_v2 (id, conversation_id, session_id, role, sender_user_id,"
            " content, created_at) values (%s, %s, %s, 'user', %s, %s, to_timestamp(%s))",
            *(TYPED, CONVERSATION, CONVERSATION, LEARNER, {"type": "text", "text": "typed"}),
            MORNING,
        )
        yield project


async def texts(project: Project) -> list[str]:
    query = "select content ->> 'text' from chat_messages_v2 order by created_at, content"
    return [row[0] for row in await project.sql(query)]


async def counts(project: Project) -> list[tuple[str, int]]:
    """Conversations whose count is not the number of their rows."""
    return await project.sql(
        "select conversation_id, message_count from conversation_sessions c where message_count <>"
        " (select count(*) from chat_messages_v2 m where m.conversation_id = c.conversation_id)"
    )


async def everything(project: Project, *tables: str) -> str:
    """All text of the tables, to look for what must not be there."""
    rows: list[Any] = []
    for table in tables:
        rows += await project.sql(f"select to_jsonb(t) from {table} t")  # noqa: S608
    return json.dumps(rows, ensure_ascii=False)


async def test_redacting_empties_old_utterances_and_keeps_their_rows(place: Project) -> None:
    partly = CALL.assistant("All of it.", 5.0, heard_text="All", state="interrupted")
    await Api(place).put(partly)
    assert await Api(place).call("voice_forget", {"days": 30}) == 5
    assert sorted(await texts(place)) == ["", "", "", "", "", "Again.", "typed"]
    left = await everything(place, "chat_messages_v2", "coach_actions")
    assert not [word for word in ("When?", "All", "Slow down") if word in left]
    assert await Api(place).call("voice_forget", {"days": 30, "mode": "redact"}) == 0
    await Api(place).put(partly)
    assert "All of it." not in await everything(place, "chat_messages_v2")


async def test_deleting_removes_old_rows_and_empty_conversations(
    place: Project,
) -> None:
    assert await Api(place).call("voice_forget", {"days": 30, "mode": "delete"}) == 4
    assert await texts(place) == ["typed", "Again."]
    left = await place.sql("select conversation_id::text from conversation_sessions")
    assert left == [(CONVERSATION,)]
    await place.sql("update conversation_sessions set title = title")
    assert [row for row in await counts(place) if row[1] != 2] == []


async def test_forgetting_works_in_batches(place: Project) -> None:
    asked = {"days": 30, "mode": "delete", "most": 3}
    assert [await Api(place).call("voice_forget", asked) for _ in range(3)] == [3, 1, 0]


@pytest.mark.parametrize("asked", [{"days": -1}, {"days": None}, {"days": 1, "mode": "burn"}])
async def test_invalid_arguments_forget_nothing(place: Project, asked: dict[str, Any]) -> None:
    before = await texts(place)
    answer = await Api(place).ask("POST", "/rpc/voice_forget", asked)
    assert (answer.status_code, answer.json()["code"]) == (400, "22023")
    assert await texts(place) == before


async def test_an_export_has_everything_about_one_person_and_nothing_of_others(
    place: Project,
) -> None:
    told = await Api(place).call("voice_export", {"user_id": LEARNER})
    [conversation] = told["conversations"]
    said = {row["content"]["text"] for row in conversation["messages"]}
    assert said == {"When?", "At nine.", "Again.", "typed"}
    assert [row["id"] for row in told["calls"]] == [SESSION]
    assert [row["cost_micro"] for row in told["usage"]] == [100]
    assert [row["coach_id"] for row in told["assignments"]] == [COACH]
    assert [row["id"] for row in told["coach_actions"]] == [WHISPER]
    assert told["said_elsewhere"] == []
    assert STRANGER not in json.dumps(told)
    as_coach = await Api(place).call("voice_export", {"user_id": COACH})
    assert [row["id"] for row in as_coach["coach_actions"]] == [WHISPER]
    assert as_coach["conversations"] == []


async def test_erasing_a_learner_leaves_costs_and_others_alone(place: Project) -> None:
    erased = await Api(place).call("voice_erase", {"user_id": LEARNER})
    assert erased == {
        "messages": 3,
        "conversations": 0,
        "calls": 1,
        "usage": 1,
        "assignments": 1,
        "coach_actions": 0,
    }
    assert sorted(await texts(place)) == ["There.", "Where?", "typed"]
    assert LEARNER not in await everything(
        place, "voice_sessions", "voice_usage", "coach_assignments", "coach_actions"
    )
    spent = await Api(place).call("voice_spent", {"day": "2025-10-09", "agent": AGENT})
    assert spent == 200
    assert "Slow down" not in await everything(place, "coach_actions")
    assert (await Api(place).call("voice_erase", {"user_id": LEARNER}))["messages"] == 0


async def test_erasing_a_person_who_only_called_leaves_nothing(place: Project) -> None:
    erased = await Api(place).call("voice_erase", {"user_id": STRANGER})
    assert (erased["messages"], erased["conversations"]) == (2, 1)
    tables = ("conversation_sessions", "chat_messages_v2", "voice_sessions", "voice_usage")
    left = await everything(place, *tables, "coach_assignments", "coach_actions")
    assert not [mark for mark in (STRANGER, HER_CALL.conversation_id, "Where?") if mark in left]
    assert "When?" in left
    await place.sql("delete from auth.users where id = %s", STRANGER)


async def test_erasing_a_coach_keeps_what_was_said_without_their_name(place: Project) -> None:
    await place.sql(
        "insert into chat_messages_v2 (conversation_id, session_id, role, sender_user_id, content,"
        " metadata) values (%s, %s, 'assistant', %s, %s, %s)",
        *(CONVERSATION, CONVERSATION, COACH, {"type": "text", "text": "I am Bob."}),
        {"voice_session_id": SESSION, "seq": 9},
    )
    told = await Api(place).call("voice_export", {"user_id": COACH})
    assert [row["content"]["text"] for row in told["said_elsewhere"]] == ["I am Bob."]
    await Api(place).call("voice_erase", {"user_id": COACH})
    tables = ("chat_messages_v2", "coach_actions", "coach_assignments")
    assert COACH not in await everything(place, *tables)
    assert "I am Bob." in await texts(place)

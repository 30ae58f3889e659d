"""The coach's feed from the database alone: broadcast as it is written, catch-up by number."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.components import needs
from tests.stores.words import CONVERSATION, LEARNER, SESSION, STRANGER, corrected
from tests.supabase.api import Api
from tests.supabase.people import CALL, COACH, HER_CALL, OTHER_COACH, callers, settle
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

TOPIC = f"voice:{SESSION}"


async def feed(caller: Api, since: int = 0, session: str = SESSION) -> list[tuple[int, str]]:
    rows = await caller.call("voice_feed", {"session": session, "since": since})
    return [(row["seq"], row["text"]) for row in rows]


async def test_S0_24_a_coach_continues_to_read_a_call_from_their_cursor(project: Project) -> None:
    await settle(project)
    coach = callers(project)["coach"]
    assert await feed(coach) == [(1, "When?"), (2, "At nine.")]
    assert await feed(coach, 1) == [(2, "At nine.")]
    question = CALL.user("When?")
    late = CALL.user("And Sundays?", 3.0)
    await Api(project).put(corrected(question, "Since when?", 4), late)
    assert await feed(coach, 2) == [(3, "And Sundays?"), (4, "Since when?")]
    assert await feed(coach, 4) == []


async def test_a_row_of_voice_feed_has_all_that_a_page_shows(project: Project) -> None:
    await settle(project)
    [row] = await Api(project).call("voice_feed", {"session": SESSION, "since": 1})
    expected = {
        "seq": 2,
        "position": 2.0,
        "id": CALL.assistant("x").id,
        "conversation_id": CONVERSATION,
        "voice_session_id": SESSION,
        "role": "assistant",
        "text": "At nine.",
        "state": "final",
    }
    assert row | expected == row
    assert row["metadata"]["item_id"] == "item_2"


async def test_S3_84_the_feed_is_for_the_learner_and_their_coach(project: Project) -> None:
    await settle(project)
    people = callers(project)
    seen = {name: len(await feed(caller)) for name, caller in people.items() if name != "anon"}
    assert seen == {"learner": 2, "coach": 2, "service": 2, "stranger": 0, "other coach": 0}
    assert (await people["anon"].ask("POST", "/rpc/voice_feed", {"session": SESSION})).is_error


async def broadcasts(project: Project, topic: str = TOPIC) -> list[dict[str, Any]]:
    query = (
        "select payload from realtime.messages where topic = %s and private"
        " and extension = 'broadcast' and event = 'utterance'"
        " order by inserted_at, payload ->> 'seq'"
    )
    return [row[0] for row in await project.sql(query, topic)]


async def test_every_row_is_broadcast_once_in_the_shape_of_the_feed(project: Project) -> None:
    await settle(project)
    told = await Api(project).call("voice_feed", {"session": SESSION})
    assert await broadcasts(project) == told
    assert len(await broadcasts(project, f"voice:{HER_CALL.session_id}")) == 2
    said = [CALL.user("When?"), CALL.assistant("At nine.")]
    await Api(project).put(*said)
    assert len(await broadcasts(project)) == 2, "a repeat is no news"
    await Api(project).put(corrected(said[0], "Since when?", 5))
    assert (await broadcasts(project))[-1]["text"] == "Since when?"
    assert len(await broadcasts(project)) == 3


async def test_typed_messages_are_not_broadcast(project: Project) -> None:
    await settle(project)
    count = "select count(*) from realtime.messages"
    before = await project.sql(count)
    await project.sql(
        "insert into chat_messages_v2 (conversation_id, session_id, role, sender_user_id, content)"
        " values (%s, %s, 'user', %s, %s)",
        *(CONVERSATION, CONVERSATION, LEARNER, {"type": "text", "text": "typed"}),
    )
    assert await project.sql(count) == before


async def test_forgetting_is_not_broadcast(project: Project) -> None:
    await settle(project)
    await Api(project).call("voice_forget", {"days": 0})
    await Api(project).call("voice_erase", {"user_id": STRANGER})
    assert [row["text"] for row in await broadcasts(project)] == ["When?", "At nine."]


async def test_words_are_stored_when_broadcasting_fails(project: Project) -> None:
    await settle(project)
    await project.sql("drop table realtime.messages cascade")
    await project.sql(
        "create or replace function realtime.send(payload jsonb, event text, topic text,"
        " private boolean default true) returns void language plpgsql as"
        " $$ begin raise exception 'no'; end $$"
    )
    assert await Api(project).put(CALL.user("Still here?", 3.0)) == {}
    assert (await feed(Api(project), 2)) == [(3, "Still here?")]


async def received(project: Project, sub: str, topic: str, role: str = "authenticated") -> int:
    """How many messages Realtime finds readable for somebody who joins a topic, as it asks."""
    async with await psycopg.AsyncConnection.connect(project.database_url) as connection:
        await connection.execute("select set_config('realtime.topic', %s, true)", [topic])
        claims = Jsonb({"sub": sub, "role": role})
        await connection.execute(
            "select set_config('request.jwt.claims', %s::text, true)", [claims]
        )
        await connection.execute(f"set local role {role}")
        query = "select count(*) from realtime.messages where topic = %s"
        row = await (await connection.execute(query, [topic])).fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.parametrize(
    ("sub", "count"), [(LEARNER, 2), (COACH, 2), (STRANGER, 0), (OTHER_COACH, 0)]
)
async def test_S3_84_only_the_learner_and_their_coach_may_join(
    project: Project, sub: str, count: int
) -> None:
    await settle(project)
    assert await received(project, sub, TOPIC) == count
    assert await received(project, sub, f"voice:{HER_CALL.session_id}") == 2 - count
    assert await received(project, sub, TOPIC, "anon") == 0
    assert await received(project, sub, "voice:nonsense") == 0

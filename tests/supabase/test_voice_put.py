"""`voice_put`: a batch of records becomes rows that the published schemas allow."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from relay.interfaces import CONSTRAINT, FOREIGN_CONVERSATION
from relay.realtime.billing.usage import Usage, UsageLine
from relay.realtime.records import Record, SessionRecord, UsageRecord, usage_id
from relay.stores.rows import usage_row
from relay.stores.supabase.store import encode_batch
from tests.components import needs
from tests.stores.words import (
    AGENT,
    CONVERSATION,
    LATER_SESSION,
    LEARNER,
    MORNING,
    SESSION,
    STRANGER,
    Call,
    corrected,
)
from tests.supabase.api import Api
from tests.supabase.fixtures import Projects
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

CALL = Call()
DAY = 20_370  # 2025-10-09


@pytest.fixture(params=["s3_migrated", "migrated"])
async def place(request: pytest.FixtureRequest, projects: Projects) -> AsyncIterator[Project]:
    """S3's database and a new project, each with the migrations, two people and an agent."""
    with projects.copy(request.param) as project:
        for person in (LEARNER, STRANGER):
            await project.add_user(person)
        await project.add_agent(AGENT)
        yield project


async def conversation(project: Project) -> tuple[Any, ...] | None:
    rows = await project.sql(
        "select user_id::text, message_count from conversation_sessions where conversation_id = %s",
        CONVERSATION,
    )
    return rows[0] if rows else None


async def texts(project: Project) -> list[str]:
    query = "select content ->> 'text' from chat_messages_v2 order by created_at"
    return [row[0] for row in await project.sql(query)]


def usage(seq: int = 1, **changes: Any) -> UsageRecord:
    line = UsageLine(model="gpt-realtime", day=DAY, seq=seq, usage=Usage(text_in=10 * seq))
    head = CALL.of(**changes).user("x").head
    return UsageRecord(id=usage_id(head.session_id, line), head=head, line=line, micro=100 * seq)


def call(seq: int = 1, **changes: Any) -> SessionRecord:
    head = CALL.of(**changes).user("x").head
    ended: dict[str, Any] = {}
    if seq == 2:
        ended = {"ended_at": MORNING + 60, "ending": "finished"}
    return SessionRecord(
        id=head.session_id, head=head, seq=seq, door="browser", engine="offline", **ended
    )


async def test_S3_31_S3_32_S3_33_S3_34_words_are_rows_that_the_published_schema_allows(
    place: Project,
) -> None:
    answer = CALL.assistant("At nine, and on Sundays not.", heard_text="At nine,")
    assert await Api(place).put(CALL.user("When?"), answer) == {}
    [session] = await Api(place).rows("conversation_sessions")
    asked, answered = await Api(place).rows("chat_messages_v2", order="created_at")
    expected = {
        "conversation_id": CONVERSATION,
        "user_id": LEARNER,
        "agent_id": AGENT,
        "title": "Voice Chat",
        "session_state": {"started_via": "realtime_voice"},
        "status": "active",
        "message_count": 2,
        "last_active": answered["created_at"],
    }
    assert session | expected == session
    assert {row["session_id"] for row in (asked, answered)} == {session["id"]}
    assert (asked["role"], asked["sender_user_id"], asked["sender_agent_id"]) == (
        "user",
        LEARNER,
        None,
    )
    assert asked["content"] == {"type": "text", "text": "When?"}
    assert asked["metadata"]["target_agent_id"] == AGENT
    assert asked["metadata"]["input_method"] == "realtime_voice"
    assert (answered["role"], answered["sender_user_id"], answered["sender_agent_id"]) == (
        "assistant",
        None,
        AGENT,
    )
    assert answered["content"] == {"type": "text", "text": "At nine,"}
    assert answered["metadata"]["full_text"] == "At nine, and on Sundays not."


async def test_a_repeat_changes_nothing_and_counts_nothing(place: Project) -> None:
    said = [CALL.user("One."), CALL.assistant("Two.")]
    for _ in range(3):
        assert await Api(place).put(*said, *said, usage(), call()) == {}
    assert await texts(place) == ["One.", "Two."]
    assert await conversation(place) == (LEARNER, 2)
    assert len(await Api(place).rows("voice_usage")) == 1
    assert len(await Api(place).rows("voice_sessions")) == 1


async def test_messages_are_counted_once_with_or_without_a_trigger(project: Project) -> None:
    await project.add_user(LEARNER)
    await project.add_agent(AGENT)
    await Api(project).put(CALL.user("One.", 1.0), CALL.assistant("Two.", 2.0))
    assert await conversation(project) == (LEARNER, 2)
    await project.sql("drop trigger update_session_on_message on chat_messages_v2")
    await Api(project).put(CALL.user("Three.", 3.0), CALL.user("One.", 1.0))
    assert await conversation(project) == (LEARNER, 3)


async def test_a_correction_replaces_in_the_same_batch_and_later_but_never_backwards(
    place: Project,
) -> None:
    first = CALL.user("I sink so.", seq=1)
    better, best = corrected(first, "I blink so.", 2), corrected(first, "I think so.", 4)
    await Api(place).put(first, better)
    assert await texts(place) == ["I blink so."]
    await Api(place).put(best, better, first)
    assert await texts(place) == ["I think so."]
    assert await conversation(place) == (LEARNER, 1)


async def test_S3_38_silence_is_no_row_and_no_conversation_but_may_correct_one(
    place: Project,
) -> None:
    silent = CALL.user("", seq=3)
    assert await Api(place).put(silent, CALL.assistant("")) == {}
    assert await conversation(place) is None
    await Api(place).put(silent, CALL.user("Hm?", seq=1))
    assert await texts(place) == ["Hm?"]
    await Api(place).put(silent)
    assert await texts(place) == [""]
    assert await conversation(place) == (LEARNER, 1)


async def test_an_unheard_answer_is_a_row(place: Project) -> None:
    await Api(place).put(CALL.assistant("Hello?", heard_text="", state="unheard"))
    assert await texts(place) == [""]
    assert (await Api(place).rows("chat_messages_v2"))[0]["metadata"]["full_text"] == "Hello?"


async def test_S3_29_a_conversation_takes_nothing_from_another_user(
    place: Project,
) -> None:
    strange = CALL.of(user_id=STRANGER, session_id=LATER_SESSION)
    intruder = strange.user("Let me in.")
    mine, more = CALL.user("Mine.", 1.0), CALL.user("Mine too.", 3.0)
    assert await Api(place).put(mine, intruder, more) == {intruder.id: FOREIGN_CONVERSATION}
    theirs = (usage(user_id=STRANGER, session_id=LATER_SESSION),)
    refused = await Api(place).put(*theirs, call(user_id=STRANGER, session_id=LATER_SESSION))
    assert refused == {theirs[0].id: FOREIGN_CONVERSATION, LATER_SESSION: FOREIGN_CONVERSATION}
    assert await texts(place) == ["Mine.", "Mine too."]
    assert await conversation(place) == (LEARNER, 2)


async def test_a_conversation_that_the_text_chat_began_goes_on(place: Project) -> None:
    await place.sql(
        "insert into conversation_sessions (id, conversation_id, user_id) values (%s, %s, %s)",
        SESSION,
        CONVERSATION,
        LEARNER,
    )
    assert await Api(place).put(CALL.user("Hello.")) == {}
    [row] = await Api(place).rows("chat_messages_v2")
    assert (row["session_id"], row["conversation_id"]) == (SESSION, CONVERSATION)
    assert await conversation(place) == (LEARNER, 1)


def spoiled(record: Record, **row: Any) -> dict[str, Any]:
    item = encode_batch([record])[0][0]
    return {**item, "row": item["row"] | row}


SPOILS: dict[str, dict[str, Any]] = {
    "role": {"role": "narrator"},
    "long role": {"role": "x" * 21},
    "two senders": {"sender_agent_id": AGENT},
    "no sender": {"sender_user_id": None},
    "no such sender": {"sender_user_id": SESSION},
    "content type": {"content": {"type": "song", "text": "la"}},
    "another conversation": {"conversation_id": SESSION},
    "no time": {"created_at": "yesterday-ish"},
    "no uuid": {"sender_user_id": "me"},
}


@pytest.mark.parametrize("spoil", SPOILS)
async def test_S3_33_what_the_schema_forbids_is_refused_alone(place: Project, spoil: str) -> None:
    said = [CALL.user(f"Number {n}.", float(n)) for n in range(1, 6)]
    items = encode_batch(said)[0]
    items[2] = spoiled(said[2], **SPOILS[spoil])
    assert await Api(place).put_items(items) == {said[2].id: CONSTRAINT}
    assert await texts(place) == ["Number 1.", "Number 2.", "Number 4.", "Number 5."]
    assert await conversation(place) == (LEARNER, 4)


async def test_refused_records_leave_no_empty_conversation(place: Project) -> None:
    nobody = CALL.of(user_id=SESSION).user("Who am I?")
    item = spoiled(CALL.user("Hello."), role="narrator")
    assert await Api(place).put(nobody) == {nobody.id: CONSTRAINT}
    assert await Api(place).put_items([item]) == {item["row"]["id"]: CONSTRAINT}
    assert await conversation(place) is None


async def test_a_batch_of_nothing_but_refusals_is_answered(place: Project) -> None:
    items = [spoiled(CALL.user("x", float(n)), role="narrator") for n in range(1, 40)]
    assert set((await Api(place).put_items(items)).values()) == {CONSTRAINT}
    assert await Api(place).put_items([]) == {}
    assert await Api(place).put_items([{"kind": "song", "row": {"id": "1"}}]) == {"1": CONSTRAINT}


async def test_usage_and_calls_take_the_newest_version(place: Project) -> None:
    await Api(place).put(call(1), usage(1), usage(3), usage(2))
    await Api(place).put(usage(2), call(2))
    await Api(place).put(call(1))
    [used] = await Api(place).rows("voice_usage")
    [called] = await Api(place).rows("voice_sessions")
    assert (used["seq"], used["text_in"], used["cost_micro"]) == (3, 30, 300)
    assert (called["seq"], called["ending"]) == (2, "finished")
    assert await conversation(place) is None


async def test_characters_are_stored_and_an_earlier_relay_that_tells_none_is_understood(
    place: Project,
) -> None:
    told = usage(1)
    line = msgspec.structs.replace(told.line, usage=Usage(characters=450, milliseconds=30_000))
    await Api(place).put(msgspec.structs.replace(told, line=line))
    [used] = await Api(place).rows("voice_usage")
    assert (used["characters"], used["milliseconds"]) == (450, 30_000)

    row = usage_row(usage(2))
    del row["characters"]
    await Api(place).put_items([{"kind": "usage", "row": row}])
    [used] = await Api(place).rows("voice_usage")
    assert (used["seq"], used["characters"]) == (2, 0)


async def test_costs_add_up_by_day_agent_and_user(place: Project) -> None:
    other = usage(5, user_id=STRANGER, session_id=LATER_SESSION, conversation_id=LATER_SESSION)
    priceless = msgspec.structs.replace(usage(9), id=SESSION, micro=None)
    await Api(place).put(usage(2), other, priceless)

    async def spent(**asked: str) -> int:
        answer: int = await Api(place).call("voice_spent", {"day": "2025-10-09", **asked})
        return answer

    assert await spent(agent=AGENT) == 700
    assert await spent(agent=AGENT, user_id=STRANGER) == 500
    assert await spent(agent=SESSION) == 0
    assert await spent(agent=AGENT, day="2025-10-10") == 0


async def test_two_relays_with_the_same_words_at_once_store_them_once(place: Project) -> None:
    calls = [
        CALL.of(
            conversation_id=f"44444444-4444-4444-8444-{n:012}",
            session_id=f"55555555-5555-4555-8555-{n:012}",
        )
        for n in range(20)
    ]
    said = [one.user(f"{n}", float(n)) for n in range(1, 6) for one in calls]
    answers = await asyncio.gather(
        *(Api(place).put(*batch) for batch in (said, said[::-1], said[50:], said))
    )
    assert answers == [{}] * 4
    counts = await place.sql("select distinct message_count from conversation_sessions")
    total = await place.sql("select count(*) from chat_messages_v2")
    assert (counts, total) == ([(5,)], [(100,)])


async def test_an_older_utterance_stored_later_does_not_move_last_active(
    place: Project,
) -> None:
    await Api(place).put(CALL.user("Late.", 5.0))
    await Api(place).put(CALL.user("Earlier.", 1.0))
    [row] = await Api(place).rows("conversation_sessions", select="last_active")
    assert row["last_active"].startswith("2025-10-09T08:53:25.25")


async def test_only_the_service_may_put(place: Project) -> None:
    body = {"records": encode_batch([CALL.user("Hi.")])[0]}
    for function in ("voice_put", "voice_put_all"):
        for caller in (Api(place, place.mint(LEARNER)), Api(place, anon=True)):
            answer = await caller.ask("POST", f"/rpc/{function}", body)
            assert answer.status_code in (401, 403, 404), answer.text
    assert await texts(place) == []

"""The store in a project: the real PostgreSQL and PostgREST, behind a gateway that fails."""

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.interfaces import CONSTRAINT, RecordsRefused, SupabaseCredentials
from relay.stores.delivery import Delivery
from relay.stores.supabase.client import RestClient
from relay.stores.supabase.errors import (
    DatabaseError,
    DatabaseFailing,
    DatabaseKeyRefused,
    DatabaseNotMigrated,
    DatabaseTooSlow,
    DatabaseUnreachable,
    DatabaseUnreadable,
)
from relay.stores.supabase.store import SupabaseStore, is_uuid
from tests.components import needs, require
from tests.stores.hosted import hosted, peopled, waiting_for
from tests.stores.words import (
    AGENT,
    COACH,
    CONVERSATION,
    DAY,
    LATER_SESSION,
    LEARNER,
    MORNING,
    SESSION,
    STRANGER,
    Call,
    corrected,
    open_journal,
    texts,
)
from tests.supabase.misbehaviour import FAULTS, Fault
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

CALL = Call()
PUT = "/rest/v1/rpc/voice_put"

WHAT: dict[Fault, type[DatabaseError]] = {
    "500": DatabaseFailing,
    "503": DatabaseFailing,
    "invalid_jwt": DatabaseKeyRefused,
    "issued_at_future": DatabaseKeyRefused,
    "html": DatabaseFailing,
    "broken_json": DatabaseUnreadable,
    "empty": DatabaseUnreadable,
    "hang": DatabaseTooSlow,
    "refused": DatabaseUnreachable,
    "cut": DatabaseUnreachable,
    "half": DatabaseUnreadable,
    "lost": DatabaseUnreachable,
}


@pytest.fixture
async def store(project: Project) -> AsyncIterator[SupabaseStore]:
    async with hosted(project) as store:
        yield store


async def message(project: Project, record: Any) -> dict[str, Any]:
    """A row of `chat_messages_v2` as it stands there."""
    query = "select to_jsonb(m) from chat_messages_v2 m where id = %s"
    ((row,),) = await project.sql(query, record.id)
    return dict(row)


async def counts(project: Project) -> tuple[int, int]:
    """How many messages there are, and how many the conversations say they have."""
    ((rows, said),) = await project.sql(
        "select (select count(*) from chat_messages_v2),"
        " (select coalesce(sum(message_count), 0) from conversation_sessions)"
    )
    return int(rows), int(said)


# ------------------------------------------------------------------------------------ the rows


async def test_S3_31_what_a_user_said_is_a_row_of_theirs(
    store: SupabaseStore, project: Project
) -> None:
    said = CALL.user("When does it open?")
    await store.put([said])
    row = await message(project, said)
    assert (row["role"], row["sender_user_id"], row["sender_agent_id"]) == ("user", LEARNER, None)
    assert row["content"] == {"type": "text", "text": "When does it open?"}
    assert row["metadata"]["input_method"] == "realtime_voice"
    assert row["metadata"]["model"] == "gpt-realtime"
    assert row["metadata"]["target_agent_id"] == AGENT


async def test_S3_32_what_the_assistant_said_is_a_row_of_the_agents(
    store: SupabaseStore, project: Project
) -> None:
    said = CALL.assistant("At nine.")
    await store.put([said])
    row = await message(project, said)
    assert (row["role"], row["sender_user_id"], row["sender_agent_id"]) == (
        "assistant",
        None,
        AGENT,
    )
    assert (row["metadata"]["voice"], row["metadata"]["model"]) == ("marin", "gpt-realtime")


async def test_S3_33_rows_satisfy_the_published_constraints(
    store: SupabaseStore, project: Project
) -> None:
    await store.put([CALL.user("One?"), CALL.assistant("Two.")])
    rows = await project.sql(
        "select m.conversation_id = c.conversation_id, m.session_id = c.id, m.role,"
        " (m.sender_user_id is null) <> (m.sender_agent_id is null)"
        " from chat_messages_v2 m join conversation_sessions c using (conversation_id)"
        " order by m.created_at"
    )
    assert rows == [(True, True, "user", True), (True, True, "assistant", True)]


async def test_S3_34_the_conversation_is_made_with_its_first_words(
    store: SupabaseStore, project: Project
) -> None:
    await store.put([CALL.user("One?"), CALL.assistant("Two.")])
    ((row,),) = await project.sql("select to_jsonb(c) from conversation_sessions c")
    assert row["conversation_id"] == CONVERSATION
    assert (row["user_id"], row["agent_id"]) == (LEARNER, AGENT)
    assert (row["title"], row["status"]) == ("Voice Chat", "active")
    assert row["session_state"] == {"started_via": "realtime_voice"}
    assert row["message_count"] == 2
    assert row["last_active"] >= row["started_at"]


async def test_S3_35_a_late_transcript_is_counted_once_and_stands_in_its_place(
    store: SupabaseStore, project: Project
) -> None:
    answer, question = CALL.assistant("A joke.", 2.0, seq=1), CALL.user("A joke?", 1.0, seq=2)
    for batch in ([answer], [question], [question, answer], [corrected(question, "Joke?", 3)]):
        await store.put(batch)
    assert texts(await store.transcript(CONVERSATION)) == ["Joke?", "A joke."]
    assert await counts(project) == (2, 2)


async def test_S3_36_several_questions_before_one_answer_are_all_rows(
    store: SupabaseStore, project: Project
) -> None:
    await store.put([CALL.user("One.", 1.0), CALL.user("Two.", 2.0), CALL.assistant("So?", 3.0)])
    assert await counts(project) == (3, 3)


async def test_S3_37_what_was_interrupted_is_stored_as_far_as_it_was_heard(
    store: SupabaseStore, project: Project
) -> None:
    said = CALL.assistant("One, two, three.", heard_text="One,", state="interrupted", heard_ms=400)
    await store.put([said])
    row = await message(project, said)
    assert row["content"]["text"] == "One,"
    assert row["metadata"]["state"] == "interrupted"
    assert row["metadata"]["full_text"] == "One, two, three."


async def test_S3_38_silence_makes_no_row_and_no_conversation(
    store: SupabaseStore, project: Project
) -> None:
    await store.put([CALL.user(""), CALL.assistant("", 2.0)])
    assert await counts(project) == (0, 0)
    assert await project.sql("select 1 from conversation_sessions") == []


async def test_characters_that_no_text_column_takes_are_stored_as_a_mark(
    store: SupabaseStore,
) -> None:
    await store.put([CALL.user("a\x00b"), CALL.assistant("c\ud800d 👍")])
    assert texts(await store.transcript(CONVERSATION)) == ["a\ufffdb", "c\ufffdd 👍"]


async def test_calls_and_their_costs_are_rows_too(store: SupabaseStore, project: Project) -> None:
    await store.put([CALL.begun(), CALL.used(250), CALL.ended(60)])
    ((call, cost),) = await project.sql(
        "select to_jsonb(s), to_jsonb(u) from voice_sessions s, voice_usage u"
    )
    assert (call["id"], call["user_id"], call["agent_id"]) == (SESSION, LEARNER, AGENT)
    assert call["ended_at"] is not None
    assert (cost["voice_session_id"], cost["cost_micro"]) == (SESSION, 250)
    assert await store.spent(DAY, AGENT, LEARNER) == 250


async def test_words_of_the_text_chat_belong_to_the_conversation(
    store: SupabaseStore, project: Project
) -> None:
    await store.put([CALL.user("I speak.")])
    await project.sql(
        "insert into chat_messages_v2 (conversation_id, session_id, role, content, metadata,"
        " sender_user_id, created_at) select conversation_id, id, 'user',"
        """ '{"type": "text", "text": "I write."}', """
        " jsonb_build_object('target_agent_id', agent_id), user_id, to_timestamp(%s)"
        " from conversation_sessions",
        MORNING + 3600,
    )
    assert texts(await store.transcript(CONVERSATION)) == ["I speak.", "I write."]


# ------------------------------------------------------------------------- what can never be stored


@pytest.mark.parametrize(
    "whose",
    [
        {"user_id": "ada"},
        {"agent_id": "default"},
        {"user_id": "aaaaaaaa-0000-4000-8000-000000000000"},  # a user whom nobody signed up
        {"conversation_id": "a-conversation"},
        {"session_id": LATER_SESSION, "agent_id": "bbbbbbbb-0000-4000-8000-000000000000"},
    ],
)
async def test_ids_that_the_tables_do_not_know_are_refused_and_stop_nothing_else(
    store: SupabaseStore, project: Project, whose: dict[str, Any]
) -> None:
    other = CALL.of(**{"session_id": LATER_SESSION, "conversation_id": COACH, **whose})
    wrong = other.user("Who am I?")
    mine, more = CALL.user("Mine."), CALL.assistant("Yours.")
    with pytest.raises(RecordsRefused) as refusal:
        await store.put([mine, wrong, more])
    assert refusal.value.refused == {wrong.id: CONSTRAINT}
    assert await store.transcript(CONVERSATION) == [mine, more]
    assert await project.sql("select conversation_id::text from conversation_sessions") == [
        (CONVERSATION,)
    ]


async def test_sessions_and_usage_of_unknown_ids_are_refused_too(store: SupabaseStore) -> None:
    nobody = CALL.of(user_id="ada", session_id=LATER_SESSION)
    call, cost = nobody.begun(), nobody.used(7)
    with pytest.raises(RecordsRefused) as refusal:
        await store.put([call, cost, CALL.used(5)])
    assert refusal.value.refused == {call.id: CONSTRAINT, cost.id: CONSTRAINT}
    assert await store.spent(DAY, AGENT) == 5


async def test_a_record_with_an_invalid_id_is_refused_alone(
    store: SupabaseStore, project: Project
) -> None:
    said = [CALL.user(f"Word {n}.", float(n)) for n in range(1, 21)]
    bad = msgspec.structs.replace(said[12], id="no id")
    with pytest.raises(RecordsRefused) as refusal:
        await store.put([*said[:12], bad, *said[13:]])
    assert refusal.value.refused == {"no id": CONSTRAINT}
    assert await counts(project) == (19, 19)


@contextmanager
def narrow(folder: Path, project: Project) -> Iterator[str]:
    """A real nginx before the project, which lets no body of more than 40 kB through; its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    listening.close()
    temporary = "".join(
        f"{kind}_temp_path {kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid nginx.pid; error_log error.log; events {{}} http {{ access_log off;"
        f" client_body_temp_path body; {temporary} server {{ listen 127.0.0.1:{port};"
        f" client_max_body_size 40k; client_body_buffer_size 64k; proxy_buffering off;"
        f" location / {{ proxy_pass {project.url}; }} }} }}"
    )
    program = [str(require("nginx")), "-p", str(folder), "-c", "nginx.conf"]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL) as nginx:
        try:
            for _ in range(500):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()


@needs("nginx")
async def test_a_request_that_is_refused_whole_is_halved_until_the_record_is_found(
    project: Project, tmp_path: Path
) -> None:
    await peopled(project)
    said = [CALL.user(f"Word {n}.", float(n)) for n in range(1, 65)]
    said[12] = CALL.user("blah " * 8000, 13.0)
    with narrow(tmp_path, project) as url:
        store = SupabaseStore(RestClient(SupabaseCredentials(url, project.service_key)))
        with pytest.raises(RecordsRefused) as refusal:
            await store.put(said)
        await store.aclose()
    assert refusal.value.refused == {said[12].id: CONSTRAINT}
    assert await counts(project) == (63, 63)


async def test_ids_that_are_not_uuids_are_unknown(store: SupabaseStore) -> None:
    assert await store.owner("default") is None
    assert await store.transcript("'; drop table agents; --") == []
    assert await store.spent(DAY, "default") == 0
    assert await store.spent(DAY, AGENT, "ada") == 0
    assert await store.learners("coach") == frozenset()
    assert is_uuid(AGENT.upper())
    assert not is_uuid(f"{{{AGENT}}}")
    assert not is_uuid(AGENT.replace("-", ""))


async def test_a_coach_follows_whom_they_were_assigned(
    store: SupabaseStore, project: Project
) -> None:
    for learner in (LEARNER, STRANGER):
        query = "insert into coach_assignments (coach_id, learner_id) values (%s, %s)"
        await project.sql(query, COACH, learner)
    assert await store.learners(COACH) == {LEARNER, STRANGER}
    assert await store.learners(LEARNER) == frozenset()


# ------------------------------------------------------------------------------- when things break


@pytest.mark.parametrize("fault", FAULTS)
async def test_S3_39_each_fault_has_its_name_and_the_same_batch_again_is_stored_once(
    store: SupabaseStore, project: Project, fault: Fault
) -> None:
    said = [CALL.user("One?"), CALL.assistant("Two.")]
    project.misbehave.next(fault, fault)
    with waiting_for(store._rest, fault), pytest.raises(WHAT[fault]) as trouble:
        await store.put(said)
    assert "One?" not in repr(trouble.value)
    project.misbehave.stop()
    await store.put(said)
    assert await store.transcript(CONVERSATION) == said
    assert await counts(project) == (2, 2)


@pytest.mark.parametrize("fault", ["issued_at_future", "refused", "cut", "lost"])
async def test_a_passing_error_is_retried_once_without_the_caller_noticing(
    store: SupabaseStore, project: Project, fault: Fault
) -> None:
    await store.put([CALL.user("One?")])
    project.misbehave.next(fault)
    assert await store.owner(CONVERSATION) == LEARNER
    project.misbehave.next(fault)
    await store.put([CALL.assistant("Two.")])
    assert await counts(project) == (2, 2)


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_unanswered_query_is_an_error_not_an_empty_result(
    store: SupabaseStore, project: Project, fault: Fault
) -> None:
    await store.put([CALL.user("One?"), CALL.used(5)])
    project.misbehave.always(fault)
    for ask in (
        lambda: store.owner(CONVERSATION),
        lambda: store.transcript(CONVERSATION),
        lambda: store.spent(DAY, AGENT),
        lambda: store.learners(COACH),
    ):
        with waiting_for(store._rest, fault), pytest.raises(DatabaseError):
            await ask()


@pytest.mark.parametrize(
    "answer",
    [
        *("{}", "[]", "null", "true", '"stored"', '{"refused": null}', '{"refused": []}'),
        '{"refused": {"somebody-elses": "constraint"}}',
        f'{{"refused": {{"{CALL.user("").id}": 5}}}}',
    ],
)
async def test_a_2xx_that_does_not_say_what_was_refused_has_stored_nothing(
    store: SupabaseStore, project: Project, answer: str
) -> None:
    await project.sql(
        "create or replace function voice_put(records jsonb) returns jsonb language sql as"
        f" $$ select '{answer}'::jsonb $$"
    )
    with pytest.raises(DatabaseUnreadable):
        await store.put([CALL.user("One?")])


async def test_a_database_without_the_migrations_is_told_by_name(s3_project: Project) -> None:
    async with hosted(s3_project) as store:
        with pytest.raises(DatabaseNotMigrated):
            await store.put([CALL.user("One?")])
        with pytest.raises(DatabaseNotMigrated):
            await store.learners(COACH)


async def test_S3_39_delivery_brings_all_through_whatever_the_gateway_does(
    store: SupabaseStore, project: Project, tmp_path: Path
) -> None:
    calls = [
        CALL.of(
            conversation_id=f"44444444-4444-4444-8444-{n:012}",
            session_id=f"55555555-5555-4555-8555-{n:012}",
        )
        for n in range(5)
    ]
    journal = await open_journal(tmp_path)
    delivery = Delivery(journal, store, wait_after=lambda _: 0.0)
    project.misbehave.sometimes(0.6, *(fault for fault in FAULTS if fault != "hang"))
    delivering = asyncio.create_task(delivery.run())
    for position in range(1, 41):
        for call in calls:
            speak = call.user if position % 2 else call.assistant
            journal.append(speak(f"Word {position}.", float(position)))
        if position == 20:
            await project.stop_database()
            await asyncio.sleep(0.2)
            await project.start_database()
        await asyncio.sleep(0.02)
    await delivery.flush(5)
    project.misbehave.stop()
    assert await delivery.flush(20)
    delivering.cancel()
    await asyncio.wait({delivering})
    state = delivery.state
    await journal.aclose()
    assert state.retries > 0
    assert state.set_aside == 0
    assert await counts(project) == (200, 200)
    for call in calls:
        said = texts(await store.transcript(call.conversation_id))
        assert said == [f"Word {position}." for position in range(1, 41)]


async def test_S3_39_the_database_and_the_api_may_go_and_come_back(
    store: SupabaseStore, project: Project
) -> None:
    await store.put([CALL.user("One?")])
    await project.stop_database()
    with pytest.raises(DatabaseError):
        await store.put([CALL.assistant("Two.")])
    await project.start_database()
    await project.stop_api()
    with pytest.raises(DatabaseError):
        await store.put([CALL.assistant("Two.")])
    await project.start_api()
    await peopled(project)
    await store.put([CALL.assistant("Two.")])
    assert await counts(project) == (2, 2)


async def test_more_words_than_a_project_gives_at_once_come_page_by_page(
    store: SupabaseStore,
) -> None:
    said = [CALL.user(f"Word {n}.", float(n)) for n in range(1, 1203)]
    for start in range(0, len(said), 256):
        await store.put(said[start : start + 256])
    assert await store.transcript(CONVERSATION) == said

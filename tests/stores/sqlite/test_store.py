"""The SQLite store and its rows; what every store does is in tests/contracts/test_store.py."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.interfaces import CONSTRAINT, FOREIGN_CONVERSATION, ConversationSummary
from relay.stores.database import open_database
from relay.stores.sqlite import store as tables
from relay.stores.sqlite.schema import SCHEMA
from relay.stores.sqlite.store import SqliteStore, put, spent
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
    names_in,
    texts,
)

CALL = Call()


async def test_words_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "var" / "relay.sqlite"
    store = SqliteStore(path)
    await store.put([CALL.user("One.")])
    await store.aclose()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = SqliteStore(path)
    assert texts(await again.transcript(CONVERSATION)) == ["One."]
    (conversation,) = await again.conversations(None, 10)
    assert conversation.message_count == 1
    await again.aclose()


async def test_a_store_whose_file_was_deleted_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    store = SqliteStore(path)
    await store.put([CALL.user("One.", 1.0)])
    elsewhere = path.rename(tmp_path / "moved.sqlite")
    with pytest.raises(FileNotFoundError):
        await store.put([CALL.user("Two.", 2.0)])
    path.touch()
    with pytest.raises(FileNotFoundError):
        await store.put([CALL.user("Two.", 2.0)])
    elsewhere.replace(path)
    await store.put([CALL.user("Two.", 2.0)])
    assert texts(await store.transcript(CONVERSATION)) == ["One.", "Two."]
    await store.aclose()


async def test_S3_39_a_store_that_cannot_write_says_so_and_works_again_later(
    tmp_path: Path,
) -> None:
    path = tmp_path / "relay.sqlite"
    path.mkdir()  # no file can be opened here
    store = SqliteStore(path)
    with pytest.raises(sqlite3.OperationalError):
        await store.put([CALL.user("One.")])
    path.rmdir()
    await store.put([CALL.user("One.")])
    assert texts(await store.transcript(CONVERSATION)) == ["One."]
    await store.aclose()


async def test_a_batch_that_fails_half_way_stores_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    await store.put([CALL.user("One.")])
    half_a_character = CALL.user("\ud83d", 3.0)
    with pytest.raises(UnicodeEncodeError):
        await store.put([CALL.assistant("Two."), half_a_character])
    assert texts(await store.transcript(CONVERSATION)) == ["One."]
    await store.aclose()


async def test_S3_41_the_store_holds_no_sound(tmp_path: Path) -> None:
    """S3-41, the store's part: one database, every row says so, and there is no column for it."""
    store = SqliteStore(tmp_path / "relay.sqlite")
    await store.put([CALL.user("One."), CALL.assistant("Two.", audio_ms=90_000)])
    await store.aclose()
    assert names_in(tmp_path) == ["relay.sqlite"]
    connection = sqlite3.connect(tmp_path / "relay.sqlite")
    query = "SELECT json_extract(metadata, '$.audio_stored') FROM chat_messages_v2"
    assert connection.execute(query).fetchall() == [(0,), (0,)]
    types = {row[2] for row in connection.execute("PRAGMA table_info(chat_messages_v2)")}
    assert "BLOB" not in types
    connection.close()


async def test_a_nul_in_a_text_is_kept(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    said = CALL.user("a\x00b")
    await store.put([said])
    assert await store.transcript(CONVERSATION) == [said]
    await store.aclose()


OTHER_CONVERSATION = CONVERSATION.replace("4", "8")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "relay.sqlite")
    connection.row_factory = sqlite3.Row
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def _one(connection: sqlite3.Connection, query: str) -> tuple[object, ...]:
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


def test_S3_31_S3_32_rows_as_S3_reads_them(connection: sqlite3.Connection) -> None:
    said = [CALL.user("Grüezi."), CALL.assistant("Hello there.", heard_text="Hello")]
    assert tables.put(connection, said) == {}
    rows = connection.execute(
        "SELECT role, sender_user_id, sender_agent_id, content, conversation_id, session_id,"
        " version, created_at, json_extract(metadata, '$.input_method') AS method"
        " FROM chat_messages_v2 ORDER BY created_at"
    ).fetchall()
    method, version = "realtime_voice", "1.0.0"
    assert [tuple(row) for row in rows] == [
        (
            "user",
            LEARNER,
            None,
            '{"type": "text", "text": "Grüezi."}',
            CONVERSATION,
            CONVERSATION,
            version,
            "2025-10-09T08:53:21.250000+00:00",
            method,
        ),
        (
            "assistant",
            None,
            AGENT,
            '{"type": "text", "text": "Hello"}',
            CONVERSATION,
            CONVERSATION,
            version,
            "2025-10-09T08:53:22.250000+00:00",
            method,
        ),
    ]


def test_S3_34_the_conversation_counts_each_message_once(connection: sqlite3.Connection) -> None:
    late, early = CALL.assistant("Two.", 9.0), CALL.user("One.")
    tables.put(connection, [late])
    tables.put(connection, [early, late])
    tables.put(connection, [corrected(early, "Won.", seq=12), early])
    query = (
        "SELECT title, status, message_count, started_at, last_active, session_state, user_id,"
        " agent_id FROM conversation_sessions"
    )
    *columns, state, user, agent = _one(connection, query)
    assert columns == [
        "Voice Chat",
        "active",
        2,
        "2025-10-09T08:53:20.250000+00:00",
        "2025-10-09T08:53:29.250000+00:00",
    ]
    assert json.loads(str(state)) == {"started_via": "realtime_voice"}
    assert (user, agent) == (LEARNER, AGENT)


def test_a_conversation_that_S3s_chat_began_is_joined_by_its_own_key(
    connection: sqlite3.Connection,
) -> None:
    connection.execute(
        "INSERT INTO conversation_sessions (id, conversation_id, user_id, title)"
        " VALUES ('its-own-key', ?, ?, 'Typed chat')",
        (CONVERSATION, LEARNER),
    )
    assert tables.put(connection, [CALL.user("Now I speak.")]) == {}
    assert _one(connection, "SELECT session_id FROM chat_messages_v2") == ("its-own-key",)
    query = "SELECT title, message_count FROM conversation_sessions"
    assert _one(connection, query) == ("Typed chat", 1)


def test_a_correction_says_when_it_was_made(connection: sqlite3.Connection) -> None:
    said = CALL.user("One.")
    tables.put(connection, [said])
    connection.execute("UPDATE chat_messages_v2 SET updated_at = 'long ago'")
    tables.put(connection, [said])
    assert _one(connection, "SELECT updated_at FROM chat_messages_v2") == ("long ago",)
    tables.put(connection, [corrected(said, "Won.", seq=5)])
    (updated,) = _one(connection, "SELECT updated_at FROM chat_messages_v2")
    assert str(updated) > "2026-"
    assert str(updated).endswith("000+00:00")


def test_a_withdrawn_utterance_leaves_an_empty_row_that_no_older_version_fills(
    connection: sqlite3.Connection,
) -> None:
    said = CALL.user("Noise.")
    tables.put(connection, [said])
    tables.put(connection, [corrected(said, "", seq=2), said])
    assert _one(connection, "SELECT json_extract(content, '$.text') FROM chat_messages_v2") == ("",)


@pytest.mark.parametrize(
    "columns",
    [
        "role = 'robot'",
        "sender_user_id = NULL",
        "sender_agent_id = 'both'",
        "role = 'system'",
        """content = '{"type": "audio"}'""",
        "content = 'no json'",
        "metadata = 'no json'",
        "conversation_id = 'nowhere'",
    ],
)
def test_S3_33_the_published_constraints_hold_here_too(
    connection: sqlite3.Connection, columns: str
) -> None:
    tables.put(connection, [CALL.user("One.")])
    with pytest.raises(sqlite3.DatabaseError):
        connection.execute("UPDATE chat_messages_v2 SET " + columns)  # noqa: S608 - ours


@pytest.mark.parametrize("columns", ["status = 'gone'", "user_id = NULL, agent_id = NULL"])
def test_S3_33_the_published_constraints_of_conversations_hold_here_too(
    connection: sqlite3.Connection, columns: str
) -> None:
    tables.put(connection, [CALL.user("One.")])
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE conversation_sessions SET " + columns)  # noqa: S608 - ours


def test_a_record_that_breaks_a_rule_is_refused_alone_and_leaves_no_trace(
    connection: sqlite3.Connection,
) -> None:
    lonely = Call(LATER_SESSION, OTHER_CONVERSATION)
    broken = lonely.user("Who am I?", 5.0, role="robot")
    foreign = CALL.of(user_id=STRANGER, session_id=LATER_SESSION).user("Mine!", 6.0)
    fine = CALL.user("One.")
    refused = tables.put(connection, [broken, fine, foreign])
    assert refused == {broken.id: CONSTRAINT, foreign.id: FOREIGN_CONVERSATION}
    assert _one(connection, "SELECT id FROM chat_messages_v2") == (fine.id,)
    assert tables.owner(connection, OTHER_CONVERSATION) is None


def test_an_empty_conversation_that_was_there_before_stays_when_words_are_refused(
    connection: sqlite3.Connection,
) -> None:
    connection.execute(
        "INSERT INTO conversation_sessions (id, conversation_id, user_id) VALUES (?, ?, ?)",
        (CONVERSATION, CONVERSATION, LEARNER),
    )
    broken = CALL.user("Who am I?", 5.0, role="robot")
    assert tables.put(connection, [broken]) == {broken.id: CONSTRAINT}
    assert tables.owner(connection, CONVERSATION) == LEARNER


def test_conversations_come_most_recently_active_first(connection: sqlite3.Connection) -> None:
    tomorrow = Call(LATER_SESSION, OTHER_CONVERSATION, started_at=MORNING + 86400)
    tables.put(connection, [tomorrow.user("Again."), CALL.user("Hi."), CALL.assistant("Ho.")])
    newest, oldest = tables.conversations(connection, None, 5)
    assert newest.conversation_id == OTHER_CONVERSATION
    assert oldest == ConversationSummary(
        conversation_id=CONVERSATION,
        user_id=LEARNER,
        agent_id=AGENT,
        started_at=MORNING,
        last_active=MORNING + 2,
        message_count=2,
    )
    assert tables.conversations(connection, None, 1) == [newest]


def test_deleting_a_conversation_deletes_its_words(connection: sqlite3.Connection) -> None:
    tables.put(connection, [CALL.user("One."), CALL.assistant("Two.")])
    connection.execute("DELETE FROM conversation_sessions")
    assert _one(connection, "SELECT count(*) FROM chat_messages_v2") == (0,)


def test_a_models_usage_is_one_row_of_the_newest_version(connection: sqlite3.Connection) -> None:
    old, new = CALL.used(100, seq=1), CALL.used(200, seq=2)
    assert put(connection, [new, old]) == {}
    assert _one(
        connection,
        "SELECT id, conversation_id, user_id, agent_id, voice_session_id, model, day, seq,"
        " audio_in, audio_out, text_in, cost_micro FROM voice_usage",
    ) == (
        *(new.id, CONVERSATION, LEARNER, AGENT, SESSION, "gpt-realtime", "2025-10-09", 2),
        *(20, 40, 0, 200),
    )
    assert spent(connection, DAY, AGENT, None) == 200


def test_a_call_is_one_row_from_its_beginning_to_its_end(connection: sqlite3.Connection) -> None:
    columns = "started_at, ended_at, ending, door, engine, voice, seq"
    query = f"SELECT {columns} FROM voice_sessions"  # noqa: S608 - ours
    began = "2025-10-09T08:53:20.250000+00:00"
    put(connection, [CALL.begun()])
    assert _one(connection, query) == (began, None, None, "browser", "echo", "marin", 1)
    put(connection, [CALL.ended(90)])
    ended = (
        began,
        "2025-10-09T08:54:50.250000+00:00",
        "client_left",
        "browser",
        "echo",
        "marin",
        2,
    )
    assert _one(connection, query) == ended
    put(connection, [CALL.begun()])
    assert _one(connection, query) == ended, "what is older never overwrites"


def test_usage_that_cannot_be_a_row_is_refused_alone(connection: sqlite3.Connection) -> None:
    broken = CALL.of(agent_id=None).used(5)  # type: ignore[arg-type]
    fine = CALL.begun()
    assert put(connection, [broken, fine]) == {broken.id: CONSTRAINT}
    assert _one(connection, "SELECT id FROM voice_sessions") == (fine.id,)


def test_the_query_before_every_call_reads_only_an_index(
    connection: sqlite3.Connection,
) -> None:
    query = "SELECT sum(cost_micro) FROM voice_usage WHERE day = '2025-10-09' AND agent_id = 'a'"
    plan = connection.execute("EXPLAIN QUERY PLAN " + query).fetchone()["detail"]
    assert "COVERING INDEX voice_usage_by_day" in plan


async def test_a_coach_has_the_assigned_learners(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    assert await store.assign(COACH, LEARNER)
    assert await store.assign(COACH, STRANGER)
    assert not await store.assign(COACH, LEARNER), "it was so before"
    assert await store.learners(COACH) == {LEARNER, STRANGER}
    assert await store.learners(LEARNER) == frozenset()
    await store.aclose()


async def test_an_assignment_survives_a_restart_and_can_be_withdrawn(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    await store.assign(COACH, LEARNER)
    await store.aclose()
    again = SqliteStore(tmp_path / "relay.sqlite")
    assert await again.unassign(COACH, LEARNER)
    assert not await again.unassign(COACH, LEARNER)
    assert await again.learners(COACH) == frozenset()
    await again.aclose()

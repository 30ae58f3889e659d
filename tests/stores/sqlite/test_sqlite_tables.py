"""S3's tables as they stand in SQLite: the rows themselves, looked at with plain SQL."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.interfaces import CONSTRAINT, FOREIGN_CONVERSATION
from relay.stores.database import open_database
from relay.stores.sqlite import store as sqlite_tables
from relay.stores.sqlite.schema import SCHEMA
from relay.stores.sqlite.store import SessionRow
from tests.stores.words import (
    AGENT,
    CONVERSATION,
    LATER_SESSION,
    LEARNER,
    MORNING,
    STRANGER,
    Call,
    corrected,
)

CALL = Call()
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
    assert sqlite_tables.put(connection, said) == {}
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
    sqlite_tables.put(connection, [late])
    sqlite_tables.put(connection, [early, late])
    sqlite_tables.put(connection, [corrected(early, "Won.", seq=12), early])
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
    assert sqlite_tables.put(connection, [CALL.user("Now I speak.")]) == {}
    assert _one(connection, "SELECT session_id FROM chat_messages_v2") == ("its-own-key",)
    query = "SELECT title, message_count FROM conversation_sessions"
    assert _one(connection, query) == ("Typed chat", 1)


def test_a_correction_says_when_it_was_made(connection: sqlite3.Connection) -> None:
    said = CALL.user("One.")
    sqlite_tables.put(connection, [said])
    connection.execute("UPDATE chat_messages_v2 SET updated_at = 'long ago'")
    sqlite_tables.put(connection, [said])
    assert _one(connection, "SELECT updated_at FROM chat_messages_v2") == ("long ago",)
    sqlite_tables.put(connection, [corrected(said, "Won.", seq=5)])
    (updated,) = _one(connection, "SELECT updated_at FROM chat_messages_v2")
    assert str(updated) > "2026-"
    assert str(updated).endswith("000+00:00")


def test_words_taken_back_leave_an_empty_row_that_nothing_older_fills(
    connection: sqlite3.Connection,
) -> None:
    said = CALL.user("Noise.")
    sqlite_tables.put(connection, [said])
    sqlite_tables.put(connection, [corrected(said, "", seq=2), said])
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
    sqlite_tables.put(connection, [CALL.user("One.")])
    with pytest.raises(sqlite3.DatabaseError):
        connection.execute("UPDATE chat_messages_v2 SET " + columns)  # noqa: S608 - ours


@pytest.mark.parametrize("columns", ["status = 'gone'", "user_id = NULL, agent_id = NULL"])
def test_S3_33_and_for_conversations(connection: sqlite3.Connection, columns: str) -> None:
    sqlite_tables.put(connection, [CALL.user("One.")])
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE conversation_sessions SET " + columns)  # noqa: S608 - ours


def test_a_record_that_breaks_a_rule_is_refused_alone_and_leaves_no_trace(
    connection: sqlite3.Connection,
) -> None:
    lonely = Call(LATER_SESSION, OTHER_CONVERSATION)
    broken = lonely.user("Who am I?", 5.0, role="robot")
    foreign = CALL.of(user_id=STRANGER, session_id=LATER_SESSION).user("Mine!", 6.0)
    fine = CALL.user("One.")
    refused = sqlite_tables.put(connection, [broken, fine, foreign])
    assert refused == {broken.id: CONSTRAINT, foreign.id: FOREIGN_CONVERSATION}
    assert _one(connection, "SELECT id FROM chat_messages_v2") == (fine.id,)
    assert sqlite_tables.owner(connection, OTHER_CONVERSATION) is None


def test_an_empty_conversation_that_was_there_before_stays_when_words_are_refused(
    connection: sqlite3.Connection,
) -> None:
    connection.execute(
        "INSERT INTO conversation_sessions (id, conversation_id, user_id) VALUES (?, ?, ?)",
        (CONVERSATION, CONVERSATION, LEARNER),
    )
    broken = CALL.user("Who am I?", 5.0, role="robot")
    assert sqlite_tables.put(connection, [broken]) == {broken.id: CONSTRAINT}
    assert sqlite_tables.owner(connection, CONVERSATION) == LEARNER


def test_recent_conversations_come_newest_first(connection: sqlite3.Connection) -> None:
    tomorrow = Call(LATER_SESSION, OTHER_CONVERSATION, started_at=MORNING + 86400)
    sqlite_tables.put(
        connection, [tomorrow.user("Again."), CALL.user("Hi."), CALL.assistant("Ho.")]
    )
    newest, oldest = sqlite_tables.recent(connection, 5)
    assert newest.conversation_id == OTHER_CONVERSATION
    assert oldest == SessionRow(
        conversation_id=CONVERSATION,
        user_id=LEARNER,
        agent_id=AGENT,
        title="Voice Chat",
        started_at=MORNING,
        last_active=MORNING + 2,
        message_count=2,
    )
    assert sqlite_tables.recent(connection, 1) == [newest]


def test_deleting_a_conversation_deletes_its_words(connection: sqlite3.Connection) -> None:
    sqlite_tables.put(connection, [CALL.user("One."), CALL.assistant("Two.")])
    connection.execute("DELETE FROM conversation_sessions")
    assert _one(connection, "SELECT count(*) FROM chat_messages_v2") == (0,)

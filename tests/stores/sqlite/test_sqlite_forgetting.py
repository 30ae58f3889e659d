"""The rows themselves, after words were forgotten and people erased; looked at with plain SQL."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.stores.database import open_database
from relay.stores.rows import timestamp
from relay.stores.sqlite import privacy as sqlite_forgetting
from relay.stores.sqlite import store as sqlite_tables
from relay.stores.sqlite.privacy import erase, forget
from relay.stores.sqlite.schema import SCHEMA
from tests.stores.words import COACH, CONVERSATION, LEARNER, MORNING, STRANGER, Call

CALL = Call()
LATER = timestamp(MORNING + 100)
BY_A_COACH = CALL.assistant("Slow down.", 3.0, coach_id=COACH)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "relay.db")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript(SCHEMA)
        sqlite_tables.put(connection, [CALL.user("When?"), CALL.assistant("Soon."), BY_A_COACH])
        yield connection


def rows(file: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in file.execute(query).fetchall()]


def test_a_redacted_row_says_so_and_keeps_its_place(file: sqlite3.Connection) -> None:
    assert forget(file, LATER, "redact") == 3
    ((content, metadata), *_) = rows(
        file, "SELECT content, metadata FROM chat_messages_v2 ORDER BY created_at"
    )
    assert json.loads(str(content)) == {"type": "text", "text": ""}
    told = json.loads(str(metadata))
    assert (told["heard_text"], told["redacted"], told["position"]) == ("", True, 1.0)
    assert rows(file, "SELECT message_count FROM conversation_sessions") == [(3,)]


def test_a_conversation_that_goes_on_is_counted_again(file: sqlite3.Connection) -> None:
    assert forget(file, timestamp(MORNING + 2.5), "delete") == 2
    assert rows(file, "SELECT message_count FROM conversation_sessions") == [(1,)]


def test_more_than_one_transaction_is_no_matter(
    file: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_forgetting, "AT_ONCE", 1)
    assert forget(file, LATER, "redact") == 3
    assert forget(file, LATER, "delete") == 3
    assert rows(file, "SELECT * FROM conversation_sessions") == []


def test_what_coaches_wrote_is_forgotten_and_that_they_did_stays(file: sqlite3.Connection) -> None:
    _acted(file)
    forget(file, LATER, "delete")
    assert rows(file, "SELECT coach_id, action, details FROM coach_actions") == [
        (COACH, "whisper", "{}")
    ]


def test_an_erased_learner_takes_the_words_of_the_audit_along(file: sqlite3.Connection) -> None:
    _acted(file)
    erase(file, LEARNER)
    assert rows(file, "SELECT coach_id, conversation_id, details FROM coach_actions") == [
        (COACH, None, "{}")
    ]


def test_an_erased_coach_leaves_words_without_a_name(file: sqlite3.Connection) -> None:
    _acted(file)
    file.execute("INSERT INTO coach_assignments VALUES (?, ?)", (COACH, LEARNER))
    counts = erase(file, COACH)

    assert counts == {
        "coach_actions": 1,
        "messages": 0,
        "calls": 0,
        "usage": 0,
        "assignments": 1,
        "conversations": 0,
    }
    query = (
        "SELECT sender_user_id, sender_agent_id, json_extract(metadata, '$.sender_erased')"
        " FROM chat_messages_v2 ORDER BY created_at DESC LIMIT 1"
    )
    assert rows(file, query) == [(None, CALL.agent_id, 1)]
    assert sqlite_tables.owner(file, CONVERSATION) == LEARNER


def _acted(file: sqlite3.Connection) -> None:
    file.execute(
        "INSERT INTO coach_actions (id, session_id, conversation_id, coach_id, action, details, at)"
        " VALUES (?, ?, ?, ?, 'whisper', '{\"text\": \"Slow.\"}', ?)",
        (STRANGER, CALL.session_id, CONVERSATION, COACH, timestamp(MORNING)),
    )

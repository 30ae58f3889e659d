"""Words that are gone from every byte of the embedded store, and the rows that stay."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.stores.database import open_database
from relay.stores.rows import timestamp
from relay.stores.sqlite import privacy, store
from relay.stores.sqlite.privacy import SqlitePrivacy, erase, forget
from relay.stores.sqlite.schema import SCHEMA
from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import (
    COACH,
    CONVERSATION,
    LATER_SESSION,
    LEARNER,
    MORNING,
    STRANGER,
    Call,
    marked,
)

CALL = Call()
HERS = CALL.of(session_id=LATER_SESSION, conversation_id=STRANGER, user_id=STRANGER)
SECRET = "rhubarb"
LONG = f"{SECRET} " * 3000

"""Longer than a page: such words lie in pages of their own."""


async def filled(folder: Path) -> Path:
    """A store with many words of two privacy_store, as a relay leaves it."""
    path = folder / "relay.db"
    store = SqliteStore(path)
    words = [CALL.user(f"{SECRET} {n}", float(n)) for n in range(1, 400)]
    await store.put([*words, CALL.user(LONG, 400.0), HERS.user("celery"), CALL.begun()])
    await store.put([CALL.used(100), HERS.begun()])
    await store.aclose()
    return path


def bytes_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.iterdir():
        yield path.name, path.read_bytes()


def holds(folder: Path, word: str) -> list[str]:
    return [name for name, content in bytes_in(folder) if word.encode() in content]


async def test_an_erased_persons_words_are_in_no_byte_of_any_file(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    assert holds(tmp_path, SECRET)
    privacy_store = SqlitePrivacy(path)
    counts = await privacy_store.erase(LEARNER)

    assert counts["messages"] == 400
    assert holds(tmp_path, SECRET) == holds(tmp_path, LEARNER) == []
    assert holds(tmp_path, "celery"), "others keep theirs"
    await privacy_store.aclose()
    assert holds(tmp_path, SECRET) == holds(tmp_path, LEARNER) == []


@pytest.mark.parametrize("mode", ["delete", "redact"])
async def test_forgotten_words_are_in_no_byte_of_any_file_beside_a_relay(
    tmp_path: Path, mode: str
) -> None:
    path = await filled(tmp_path)
    relay = SqliteStore(path)
    await relay.transcript(CALL.conversation_id)
    privacy_store = SqlitePrivacy(path)
    assert await privacy_store.forget(30, "delete" if mode == "delete" else "redact") == 401

    assert holds(tmp_path, SECRET) == holds(tmp_path, "celery") == []
    await privacy_store.aclose()
    await relay.put([CALL.user("again", 500.0)])
    await relay.aclose()


async def test_a_reader_that_keeps_old_pages_in_the_log_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.stores.database.BUSY_TIMEOUT", 0.05)
    path = await filled(tmp_path)
    privacy_store = SqlitePrivacy(path)
    await privacy_store.forget(30, "redact")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chat_messages_v2").fetchone()
        with pytest.raises(sqlite3.OperationalError, match="another process is reading it"):
            await privacy_store.forget(30, "delete")
    await privacy_store.forget(30, "delete")
    await privacy_store.aclose()


async def test_no_method_creates_a_missing_file(tmp_path: Path) -> None:
    privacy_store = SqlitePrivacy(tmp_path / "relay.db")
    for question in (
        privacy_store.export("ada"),
        privacy_store.erase("ada"),
        privacy_store.forget(1, "delete"),
    ):
        with pytest.raises(FileNotFoundError):
            await question
    await privacy_store.aclose()
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_days_are_counted_from_now(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    privacy_store = SqlitePrivacy(path, lambda: CALL.started_at + 86_400 + 200)
    assert await privacy_store.forget(1, "redact") == 200
    await privacy_store.aclose()


LATER = timestamp(MORNING + 100)
BY_A_COACH = CALL.assistant("Slow down.", 3.0, coach_id=COACH)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "relay.db")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript(SCHEMA)
        store.put(connection, [CALL.user("When?"), CALL.assistant("Soon."), BY_A_COACH])
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


def test_a_conversation_that_keeps_utterances_is_counted_again(file: sqlite3.Connection) -> None:
    assert forget(file, timestamp(MORNING + 2.5), "delete") == 2
    assert rows(file, "SELECT message_count FROM conversation_sessions") == [(1,)]


def test_forgetting_may_take_several_transactions(
    file: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy, "AT_ONCE", 1)
    assert forget(file, LATER, "redact") == 3
    assert forget(file, LATER, "delete") == 3
    assert rows(file, "SELECT * FROM conversation_sessions") == []


def test_the_text_of_coaches_actions_is_forgotten_and_the_action_stays(
    file: sqlite3.Connection,
) -> None:
    _acted(file)
    forget(file, LATER, "delete")
    assert rows(file, "SELECT coach_id, action, details FROM coach_actions") == [
        (COACH, "whisper", "{}")
    ]


def test_erasing_a_learner_empties_the_actions_in_their_calls(file: sqlite3.Connection) -> None:
    _acted(file)
    erase(file, LEARNER)
    assert rows(file, "SELECT coach_id, conversation_id, details FROM coach_actions") == [
        (COACH, None, "{}")
    ]


def test_erasing_a_coach_leaves_their_utterances_without_a_name(file: sqlite3.Connection) -> None:
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
    assert store.owner(file, CONVERSATION) == LEARNER


def _acted(file: sqlite3.Connection) -> None:
    file.execute(
        "INSERT INTO coach_actions (id, session_id, conversation_id, coach_id, action, details, at)"
        " VALUES (?, ?, ?, ?, 'whisper', '{\"text\": \"Slow.\"}', ?)",
        (STRANGER, CALL.session_id, CONVERSATION, COACH, timestamp(MORNING)),
    )


async def test_the_export_says_what_a_person_deleted_for_the_model(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db")
    said = CALL.user("My name is Ada.")
    await store.put([said, marked(said, seq=2)])
    await store.aclose()
    told = await SqlitePrivacy(tmp_path / "relay.db").export(LEARNER)
    (message,) = told["conversations"][0]["messages"]
    assert message["content"]["text"] == "My name is Ada."
    assert message["metadata"]["deleted_for_model"] is True

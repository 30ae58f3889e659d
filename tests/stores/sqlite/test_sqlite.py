"""The SQLite store from outside; what every store does is in tests/contracts/test_store.py."""

import sqlite3
from pathlib import Path

import pytest

from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import CONVERSATION, Call, names_in, texts

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
    (conversation,) = await again.recent(10)
    assert conversation.message_count == 1
    await again.aclose()


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

import sqlite3
from pathlib import Path

import pytest

from relay.stores.database import open_database, transaction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.sqlite"


def _settings(connection: sqlite3.Connection, *names: str) -> list[object]:
    return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]


def test_a_commit_is_on_disk_when_it_returns_and_deleted_words_are_overwritten(path: Path) -> None:
    connection = open_database(path)
    full = 2
    assert _settings(connection, "journal_mode", "synchronous", "secure_delete") == ["wal", full, 1]
    connection.close()


def test_nobody_else_may_read_the_files_even_if_they_once_could(path: Path) -> None:
    path.touch(mode=0o644)
    connection = open_database(path)
    connection.execute("CREATE TABLE words (word TEXT)")
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["some.sqlite", "some.sqlite-shm", "some.sqlite-wal"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    connection.close()


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    connection = open_database(path)
    connection.execute("CREATE TABLE words (word TEXT NOT NULL)")

    def insert(*words: str | None) -> None:
        with transaction(connection):
            connection.executemany("INSERT INTO words VALUES (?)", [(word,) for word in words])

    with pytest.raises(sqlite3.IntegrityError):
        insert("one", None)
    insert("two")
    assert connection.execute("SELECT word FROM words").fetchall() == [("two",)]
    connection.close()


def test_what_is_no_database_is_an_error_and_holds_no_file_open(path: Path) -> None:
    path.write_bytes(b"this is not a database, it only looks like a file" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        open_database(path)

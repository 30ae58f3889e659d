"""SQLite files as the relay opens them: for itself, and for reading beside a relay."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.stores.database import open_database, open_readonly, transaction


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


def test_only_the_owner_may_read_the_files_even_if_others_once_could(path: Path) -> None:
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


def test_a_file_that_is_not_a_database_is_an_error_and_is_not_held_open(path: Path) -> None:
    path.write_bytes(b"this is not a database, it only looks like a file" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        open_database(path)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A relay that has the file open."""
    with closing(open_database(tmp_path / "file.db")) as connection:
        connection.execute("CREATE TABLE words (word TEXT)")
        connection.execute("INSERT INTO words VALUES ('hello')")
        yield connection


def words(path: Path) -> list[str]:
    with open_readonly(path) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM words")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_reading_sees_what_a_running_relay_wrote_last(
    tmp_path: Path, writer: sqlite3.Connection
) -> None:
    before = names(tmp_path)

    assert before == ["file.db", "file.db-shm", "file.db-wal"]
    assert words(tmp_path / "file.db") == ["hello"]
    assert names(tmp_path) == before


def test_reading_a_file_at_rest_creates_no_other_files(
    tmp_path: Path, writer: sqlite3.Connection
) -> None:
    writer.close()
    written = (tmp_path / "file.db").read_bytes()

    assert words(tmp_path / "file.db") == ["hello"]
    assert names(tmp_path) == ["file.db"]
    assert (tmp_path / "file.db").read_bytes() == written


def test_a_file_open_for_reading_cannot_be_written(
    tmp_path: Path, writer: sqlite3.Connection
) -> None:
    with (
        open_readonly(tmp_path / "file.db") as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("INSERT INTO words VALUES ('mine')")


def test_reading_a_file_that_is_not_a_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError), open_readonly(tmp_path / "file.db"):
        pass


def test_a_page_that_was_overwritten_is_an_error(
    tmp_path: Path, writer: sqlite3.Connection
) -> None:
    writer.executemany("INSERT INTO words VALUES (?)", [("x" * 1000,)] * 100)
    writer.close()
    file = bytearray((tmp_path / "file.db").read_bytes())
    file[4096:8192] = b"\xff" * 4096
    (tmp_path / "file.db").write_bytes(file)

    with pytest.raises(sqlite3.DatabaseError), open_readonly(tmp_path / "file.db"):
        pass

"""Journals that a relay could open, that a relay has open, and that none could read."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from relay.check import local
from relay.check.local import check_journal, check_own_journal
from relay.stores.journal.file import FILE_NAME, JournalFile
from tests.stores.words import Call

CALL = Call()


@contextmanager
def open_journal(folder: Path) -> Iterator[JournalFile]:
    """Open the journal as a relay does."""
    with closing(JournalFile(folder, 1 << 20)) as file:
        yield file


def test_a_new_journal_will_be_created(tmp_path: Path) -> None:
    found = check_journal(tmp_path / "journal")

    assert (found.state, found.what) == ("ok", f"will be created in {tmp_path / 'journal'}")
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_a_relay_has_open_is_not_read(tmp_path: Path) -> None:
    with open_journal(tmp_path):
        found = check_journal(tmp_path)

    assert found.state == "ok"
    assert found.what == f"in use by a running relay, process {os.getpid()}"


def test_waiting_utterances_are_counted_and_the_file_is_not_changed(tmp_path: Path) -> None:
    with open_journal(tmp_path) as file:
        records = [CALL.user("One."), CALL.user("Two.", 2.0), CALL.user("Three.", 3.0)]
        file.commit([(record, 1.0) for record in records])
        file.set_aside(records[:1], {records[0].id: "foreign"})
    before = (tmp_path / FILE_NAME).read_bytes()
    found = check_journal(tmp_path)

    assert found.state == "ok"
    assert found.what.startswith("2 utterances wait for the store, 1 that it refused are set aside")
    assert (tmp_path / FILE_NAME).read_bytes() == before
    with open_journal(tmp_path) as file:
        assert file.tally().waiting == 3, "only a relay tries again what was set aside"


def test_the_journal_of_a_crashed_relay_is_read_with_its_log(tmp_path: Path) -> None:
    with open_journal(tmp_path) as file:
        file.commit([(CALL.user("One."), 1.0)])
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            (crashed / name).write_bytes((tmp_path / name).read_bytes())

    assert check_journal(crashed).what == "1 utterances wait for the store"


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()

    assert check_journal(tmp_path).what == "0 utterances wait for the store"


def test_a_damaged_journal_may_hold_utterances(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no journal" * 1000)
    found = check_journal(tmp_path)

    assert (found.state, found.what) == ("fail", f"{tmp_path / FILE_NAME} is damaged")
    assert "never stored" in found.hint


def test_a_journal_of_another_version_fails(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version=99")
    found = check_journal(tmp_path)

    assert found.state == "fail"
    assert found.what.endswith("was written by another version of the relay")


def test_a_file_that_cannot_be_opened_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_: Path) -> None:
        raise sqlite3.OperationalError("database is locked")

    (tmp_path / FILE_NAME).touch()
    monkeypatch.setattr(local, "open_readonly", locked)

    assert check_journal(tmp_path).what.endswith("cannot be opened: database is locked")


def test_a_folder_that_cannot_be_created_fails(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")

    assert check_journal(tmp_path / "var").state == "fail"


@pytest.mark.parametrize("listens", [True, False])
async def test_a_relay_that_holds_it_and_does_not_listen_here_is_another_one(
    tmp_path: Path, listens: bool
) -> None:
    async def listens_here() -> bool:
        return listens

    with open_journal(tmp_path):
        found = await check_own_journal(tmp_path, listens_here)

    assert found.state == ("ok" if listens else "fail")
    assert found.what.startswith(f"in use by a running relay, process {os.getpid()}")
    assert listens or "RELAY_DATA_DIR of its own" in found.hint
    assert (await check_own_journal(tmp_path, listens_here)).state == "ok", (
        "no relay holds it any more"
    )

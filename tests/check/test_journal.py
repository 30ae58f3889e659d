"""Journals that a relay could open, that one has open, and that none could read."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from relay.check import local as looked_at
from relay.check.local import journal, own_journal
from relay.stores.journal.file import FILE_NAME, JournalFile
from tests.stores.words import Call

CALL = Call()


@contextmanager
def opened(folder: Path) -> Iterator[JournalFile]:
    """A relay's own journal."""
    with closing(JournalFile(folder, 1 << 20)) as file:
        yield file


def test_a_new_one_will_be_made(tmp_path: Path) -> None:
    found = journal(tmp_path / "journal")

    assert (found.state, found.what) == ("ok", f"will be made in {tmp_path / 'journal'}")
    assert list(tmp_path.iterdir()) == []


def test_one_that_a_relay_has_open_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path):
        found = journal(tmp_path)

    assert found.state == "ok"
    assert found.what == f"in use by a running relay, process {os.getpid()}"


def test_what_waits_is_counted_and_a_relay_can_open_it_afterwards(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        words = [CALL.user("One."), CALL.user("Two.", 2.0), CALL.user("Three.", 3.0)]
        file.commit([(word, 1.0) for word in words])
        file.set_aside(words[:1], {words[0].id: "foreign"})
    before = (tmp_path / FILE_NAME).read_bytes()
    found = journal(tmp_path)

    assert found.state == "ok"
    assert found.what.startswith("2 utterances wait for the store, 1 are set aside")
    assert (tmp_path / FILE_NAME).read_bytes() == before
    with opened(tmp_path) as file:
        assert file.tally().waiting == 3, "what was set aside is tried again by a relay alone"


def test_one_whose_relay_has_crashed_is_read_with_its_log(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        file.commit([(CALL.user("One."), 1.0)])
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            (crashed / name).write_bytes((tmp_path / name).read_bytes())

    assert journal(crashed).what == "1 utterances wait for the store"


def test_an_empty_file_is_a_journal_to_be(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()

    assert journal(tmp_path).what == "0 utterances wait for the store"


def test_a_damaged_one_is_told_with_what_it_may_hold(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no journal" * 1000)
    found = journal(tmp_path)

    assert (found.state, found.what) == ("fail", f"{tmp_path / FILE_NAME} is damaged")
    assert "never stored" in found.mend


def test_one_of_another_version_is_told(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version=99")
    found = journal(tmp_path)

    assert found.state == "fail"
    assert found.what.endswith("was written by another version of the relay")


def test_a_file_that_cannot_be_opened_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_: Path) -> None:
        raise sqlite3.OperationalError("database is locked")

    (tmp_path / FILE_NAME).touch()
    monkeypatch.setattr(looked_at, "looking_at", locked)

    assert journal(tmp_path).what.endswith("cannot be opened: database is locked")


def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")

    assert journal(tmp_path / "var").state == "fail"


@pytest.mark.parametrize("here", [True, False])
async def test_a_relay_that_has_it_and_does_not_listen_here_is_another_one(
    tmp_path: Path, here: bool
) -> None:
    async def is_here() -> bool:
        return here

    with opened(tmp_path):
        found = await own_journal(tmp_path, is_here)

    assert found.state == ("ok" if here else "fail")
    assert found.what.startswith(f"in use by a running relay, process {os.getpid()}")
    assert here or "RELAY_DATA_DIR of its own" in found.mend
    assert (await own_journal(tmp_path, is_here)).state == "ok", "nobody has it any more"

"""Stores that could be opened, and stores that could not."""

import sqlite3
from pathlib import Path

import pytest

from relay.check import local
from relay.check.local import check_store
from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import LATER_SESSION, STRANGER, Call

CALL = Call()


async def test_utterances_are_counted_while_a_relay_writes(tmp_path: Path) -> None:
    file = tmp_path / "relay.db"
    database = SqliteStore(file)
    other = CALL.of(session_id=LATER_SESSION, conversation_id=STRANGER)
    await database.put([CALL.user("One."), CALL.assistant("Two."), other.user("Three.")])
    beside = check_store(file)
    await database.aclose()

    assert (beside.state, beside.what) == ("ok", f"{file} holds 3 utterances of 2 conversations")
    assert check_store(file) == beside


@pytest.mark.parametrize("empty", [True, False])
def test_a_store_without_utterances_will_be_created(tmp_path: Path, empty: bool) -> None:
    file = tmp_path / "relay.db"
    if empty:
        file.touch()

    assert check_store(file).what == f"{file} will be created with the first utterance"
    assert file.exists() == empty


def test_a_damaged_store_fails(tmp_path: Path) -> None:
    (tmp_path / "relay.db").write_bytes(b"no store" * 1000)
    found = check_store(tmp_path / "relay.db")

    assert (found.state, found.what) == ("fail", f"{tmp_path / 'relay.db'} is damaged")


def test_a_store_that_cannot_be_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_: Path) -> None:
        raise sqlite3.OperationalError("database is locked")

    (tmp_path / "relay.db").touch()
    monkeypatch.setattr(local, "open_readonly", locked)

    assert check_store(tmp_path / "relay.db").what.endswith("cannot be read: database is locked")


def test_a_folder_that_cannot_be_created_fails(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")

    assert check_store(tmp_path / "var" / "relay.db").state == "fail"

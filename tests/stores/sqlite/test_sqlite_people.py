"""Words that are gone from every byte of the embedded store, and what keeps them there."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.stores.sqlite.privacy import SqlitePeople
from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import LATER_SESSION, LEARNER, STRANGER, Call

CALL = Call()
HERS = CALL.of(session_id=LATER_SESSION, conversation_id=STRANGER, user_id=STRANGER)
SECRET = "rhubarb"
LONG = f"{SECRET} " * 3000
"""Longer than a page: such words lie in pages of their own."""


async def filled(folder: Path) -> Path:
    """A store with many words of two people, as a relay leaves it."""
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


async def test_the_words_of_who_was_erased_are_in_no_byte_of_any_file(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    assert holds(tmp_path, SECRET)
    people = SqlitePeople(path)
    counts = await people.erase(LEARNER)

    assert counts["messages"] == 400
    assert holds(tmp_path, SECRET) == holds(tmp_path, LEARNER) == []
    assert holds(tmp_path, "celery"), "others keep theirs"
    await people.aclose()
    assert holds(tmp_path, SECRET) == holds(tmp_path, LEARNER) == []


@pytest.mark.parametrize("mode", ["delete", "redact"])
async def test_forgotten_words_are_in_no_byte_of_any_file_beside_a_relay(
    tmp_path: Path, mode: str
) -> None:
    path = await filled(tmp_path)
    relay = SqliteStore(path)
    await relay.transcript(CALL.conversation_id)
    people = SqlitePeople(path)
    assert await people.forget(30, "delete" if mode == "delete" else "redact") == 401

    assert holds(tmp_path, SECRET) == holds(tmp_path, "celery") == []
    await people.aclose()
    await relay.put([CALL.user("again", 500.0)])
    await relay.aclose()


async def test_a_reader_that_keeps_old_words_in_the_log_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.stores.database.BUSY_TIMEOUT", 0.05)
    path = await filled(tmp_path)
    people = SqlitePeople(path)
    await people.forget(30, "redact")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chat_messages_v2").fetchone()
        with pytest.raises(sqlite3.OperationalError, match="another program reads it"):
            await people.forget(30, "delete")
    await people.forget(30, "delete")
    await people.aclose()


async def test_no_file_is_made_by_looking(tmp_path: Path) -> None:
    people = SqlitePeople(tmp_path / "relay.db")
    for question in (people.export("ada"), people.erase("ada"), people.forget(1, "delete")):
        with pytest.raises(FileNotFoundError):
            await question
    await people.aclose()
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_days_are_counted_from_now(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    people = SqlitePeople(path, lambda: CALL.started_at + 86_400 + 200)
    assert await people.forget(1, "redact") == 200
    await people.aclose()

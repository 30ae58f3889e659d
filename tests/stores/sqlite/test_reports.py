"""Reading the file while a store writes it through a connection of its own."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from relay.realtime.records import Record
from relay.stores.sqlite.reports import SqliteReader
from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import CONVERSATION, LATER_SESSION, Call, corrected, names_in, texts

CALL = Call()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "relay.sqlite")
    await store.put([])
    yield store
    await store.aclose()


@pytest.fixture
async def reader(store: SqliteStore, tmp_path: Path) -> AsyncIterator[SqliteReader]:
    reader = SqliteReader(tmp_path / "relay.sqlite")
    yield reader
    await reader.aclose()


class CurtainError(Exception):
    """The play is over."""


Act = Callable[[], Awaitable[None]]


async def _follow(reader: SqliteReader, *acts: Act) -> list[Record]:
    """What a follower sees while one act after the other happens between its looks."""
    seen: list[Record] = []
    rest = list(acts)

    async def next_act() -> None:
        if not rest:
            raise CurtainError
        await rest.pop(0)()

    with suppress(CurtainError):
        async for record in reader.follow(CONVERSATION, next_act):
            seen.append(record)  # noqa: PERF401 - it ends by an error
    assert not rest
    return seen


async def test_a_reader_sees_what_the_store_has(store: SqliteStore, reader: SqliteReader) -> None:
    said = [CALL.user("One."), CALL.assistant("Two.")]
    await store.put(said)
    assert await reader.transcript(CONVERSATION) == said
    assert await reader.recent(5) == [CONVERSATION]


async def test_following_gives_what_was_said_and_then_what_is_said(
    store: SqliteStore, reader: SqliteReader
) -> None:
    one, two, three = CALL.user("One."), CALL.assistant("Two."), CALL.user("Three.", 3.0)
    better = corrected(two, "Too.", seq=4)
    elsewhere = Call(LATER_SESSION, CONVERSATION.replace("4", "8")).user("Not here.")
    await store.put([one])

    async def nothing() -> None:
        pass

    seen = await _follow(
        reader,
        nothing,
        lambda: store.put([two]),
        lambda: store.put([elsewhere, two]),
        lambda: store.put([three, better]),
        nothing,
    )
    assert seen == [one, two, better, three]


async def test_following_reads_the_words_again_only_when_the_file_has_changed(
    store: SqliteStore, reader: SqliteReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = reader.transcript

    async def counted(conversation_id: str) -> Sequence[Record]:
        reads.append(conversation_id)
        return await read(conversation_id)

    async def nothing() -> None:
        pass

    monkeypatch.setattr(reader, "transcript", counted)
    one = CALL.user("One.")
    assert await _follow(reader, nothing, nothing, lambda: store.put([one]), nothing) == [one]
    assert len(reads) == 2


async def test_a_conversation_may_begin_while_it_is_followed(
    store: SqliteStore, reader: SqliteReader
) -> None:
    seen = await _follow(reader, lambda: store.put([CALL.user("Hello?")]))
    assert texts(seen) == ["Hello?"]


async def test_a_reader_makes_no_file_and_changes_none(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    reader = SqliteReader(path)
    with pytest.raises(FileNotFoundError):
        await reader.recent(1)
    assert names_in(tmp_path) == []
    store = SqliteStore(path)
    await store.put([CALL.user("One.")])
    await store.aclose()
    assert texts(await reader.transcript(CONVERSATION)) == ["One."]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await reader._worker.run(lambda file: file.execute("DELETE FROM chat_messages_v2"))
    await reader.aclose()

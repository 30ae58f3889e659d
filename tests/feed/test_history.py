import asyncio
from pathlib import Path

import pytest

from relay.feed import feed as history_module
from relay.feed.feed import FeedHistory
from relay.stores.sqlite.store import SqliteStore
from tests.feed.calls import Disk, again, said
from tests.stores.words import CONVERSATION, LEARNER, open_journal, texts


async def test_the_store_and_the_journal_together_whatever_is_where(tmp_path: Path) -> None:
    """With the real ones, step by step along a record's way."""
    journal, store = await open_journal(tmp_path / "journal"), SqliteStore(tmp_path / "relay.db")
    history = FeedHistory(journal, store)
    assert (await history.read(CONVERSATION)).said == []
    for record in (said(1, "One"), said(2, "Two")):
        journal.append(record)
    await journal.flush()
    waiting = await history.read(CONVERSATION)
    await store.put([said(1, "One"), said(2, "Two")])
    both = await history.read(CONVERSATION)
    await journal.mark_delivered([said(1, "One"), said(2, "Two")])
    stored = await history.read(CONVERSATION)
    journal.append(again(said(1, "One"), 3))
    await journal.flush()
    corrected = await history.read(CONVERSATION)
    assert texts(waiting.said) == texts(both.said) == texts(stored.said) == ["One", "Two"]
    assert texts(corrected.said) == ["One, no: 3", "Two"]
    assert {each.owner for each in (waiting, both, stored, corrected)} == {LEARNER}
    await journal.aclose()
    await store.aclose()


async def test_half_a_conversation_is_none() -> None:
    disk = Disk()
    disk.commit(said(1))
    disk.broken = True
    with pytest.raises(OSError, match="away"):
        await FeedHistory(disk, disk).read(CONVERSATION)


async def test_who_takes_too_long_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Disk):
        async def transcript(self, conversation_id: str) -> list:
            await asyncio.Event().wait()
            return []

    monkeypatch.setattr(history_module, "READ_SECONDS", 0.01)
    disk = Hanging()
    with pytest.raises(TimeoutError):
        await FeedHistory(disk, disk).read(CONVERSATION)

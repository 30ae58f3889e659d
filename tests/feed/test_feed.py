"""One session's feed: its partials, its state, its log of utterances, and what it reads back."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.feed import feed as history_module
from relay.feed.feed import FeedHistory, SessionFeed, UtteranceLog
from relay.feed.subscriber import Subscriber
from relay.realtime.transcript import InterimTranscript
from relay.stores.sqlite.store import SqliteStore
from tests.feed.calls import Disk, FakeCall, again, said
from tests.stores.words import CONVERSATION, LEARNER, open_journal, texts

HELLO = InterimTranscript("item_1", 0, "user", "Hel")


def feed_of(call: FakeCall) -> SessionFeed:
    disk = Disk()
    return SessionFeed(call, FeedHistory(disk, disk))


def told(subscriber: Subscriber) -> list[dict]:
    """Everything that waits, without waiting."""
    messages = []
    while subscriber.ending is None and (news := subscriber._first()) is not None:
        messages.append(json.loads(news.text))
    return messages


def partials(subscriber: Subscriber) -> list[str]:
    return [message["text"] for message in told(subscriber) if message["type"] == "partial"]


async def test_partials_are_sent_when_they_change_and_all_of_them_to_a_new_subscriber() -> None:
    call = FakeCall(open=[HELLO])
    feed = feed_of(call)
    one = await feed.subscribe(0)
    feed.tick()
    assert partials(one) == ["Hel"]
    feed.tick()
    assert partials(one) == []
    two = await feed.subscribe(0)
    feed.tick()
    assert (partials(one), partials(two)) == ([], ["Hel"])
    call.open = [HELLO._replace(text="Hello"), InterimTranscript("item_2", 0, "assistant", "Hi")]
    feed.tick()
    assert partials(one) == partials(two) == ["Hello", "Hi"]


async def test_a_subscriber_after_a_pause_without_any_gets_all_partials() -> None:
    feed = feed_of(FakeCall(open=[HELLO]))
    first = await feed.subscribe(0)
    feed.tick()
    feed.unsubscribe(first)
    second = await feed.subscribe(0)
    feed.tick()
    assert partials(second) == ["Hel"]


async def test_the_state_is_sent_when_it_changed() -> None:
    call = FakeCall()
    feed = feed_of(call)
    subscriber = await feed.subscribe(0)
    assert [m["type"] for m in told(subscriber)] == ["session", "caught_up"]
    feed.tick(with_state=True)
    told(subscriber)
    feed.tick(with_state=True)
    assert told(subscriber) == []
    call.cost, call.seq = 1_500_000, 7
    feed.tick(with_state=True)
    (state,) = told(subscriber)
    assert state["session"]["cost_dollars"] == 1.5
    assert state["session"]["tokens"] == {"text_out": 7}


async def test_an_ended_feed_keeps_the_facts_and_releases_the_session() -> None:
    call = FakeCall(seq=1, cost=12, why="idle", open=[HELLO])
    feed = feed_of(call)
    feed.commit(said(1))
    feed.end(1_760_000_200.0)
    assert feed.is_finished
    assert feed._session == replace(call.status(), is_paused=False)
    session = feed.info()
    assert (session.ending, session.cost_dollars, session.seq) == ("idle", 0.000012, 1)
    assert session.state == "ended"
    assert session.ended_at == "2025-10-09T08:56:40.000000+00:00"
    feed.tick()
    assert call.asked == 0
    feed.finish()  # once is enough
    assert [m["type"] for m in told(await feed.subscribe(1))] == ["session", "caught_up", "ended"]


def test_the_log_has_the_newest_version_of_each_by_seq() -> None:
    log = UtteranceLog()
    one, two = said(1), said(2)
    better = again(one, 3)
    for record in (one, two, better):
        assert log.add(record)
    assert log.since(0) == [two, better]
    assert log.since(2) == [better]
    assert log.since(3) == []
    assert log.top == 3


def test_a_repeat_changes_nothing() -> None:
    log = UtteranceLog()
    log.add(said(1))
    log.add(said(2))
    assert not log.add(said(2))
    assert not log.add(said(1))
    assert len(log) == 2


def test_words_that_were_lost_are_counted() -> None:
    log = UtteranceLog()
    log.add(said(1))
    log.add(said(4))
    assert log.missing == 2


def test_beyond_its_bounds_the_oldest_is_dropped_and_the_floor_rises() -> None:
    by_count, by_size = UtteranceLog(records=2), UtteranceLog(characters=40)
    for seq in (1, 2, 3):
        by_count.add(said(seq))
        by_size.add(said(seq, "a" * 10))
    assert [record.seq for record in by_count.since(0)] == [2, 3]
    assert [record.seq for record in by_size.since(0)] == [2, 3]
    assert by_count.floor == by_size.floor == 1


def test_one_answer_larger_than_the_bound_is_not_kept() -> None:
    log = UtteranceLog(characters=10)
    assert log.add(said(1, "a" * 11))
    assert log.since(0) == []
    assert log.floor == log.top == 1


def test_dropped_records_are_below_the_floor() -> None:
    log = UtteranceLog()
    log.add(said(1))
    log.clear()
    assert (len(log), log.floor, log.top) == (0, 1, 1)
    log.add(said(2))
    assert [record.seq for record in log.since(0)] == [2]


@given(st.lists(st.integers(1, 6), max_size=30), st.integers(1, 8), st.integers(0, 30))
def test_nothing_above_the_floor_is_missing(items: list[int], bound: int, since: int) -> None:
    log, newest = UtteranceLog(records=bound), dict[str, int]()
    for seq, item in enumerate(items, start=1):
        record = again(said(item), seq)
        newest[record.id] = seq
        log.add(record)
    wanted = sorted(seq for seq in newest.values() if seq > max(since, log.floor))
    assert [record.seq for record in log.since(max(since, log.floor))] == wanted
    assert len(log) <= bound


async def test_store_and_journal_are_read_together_wherever_a_record_is(tmp_path: Path) -> None:
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


async def test_half_a_conversation_is_an_error() -> None:
    disk = Disk()
    disk.commit(said(1))
    disk.broken = True
    with pytest.raises(OSError, match="away"):
        await FeedHistory(disk, disk).read(CONVERSATION)


async def test_a_store_that_takes_too_long_counts_as_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hanging(Disk):
        async def transcript(self, conversation_id: str) -> list:
            await asyncio.Event().wait()
            return []

    monkeypatch.setattr(history_module, "READ_SECONDS", 0.01)
    disk = Hanging()
    with pytest.raises(TimeoutError):
        await FeedHistory(disk, disk).read(CONVERSATION)

"""Delivery as a conversation between a journal on disk and a store that fails on cue."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from relay.interfaces import FOREIGN_CONVERSATION, RecordsRefused
from relay.realtime.records import AnyRecord, Record
from relay.stores.delivery import (
    BATCH,
    LONGEST_WAIT,
    REFUSED_KEPT,
    SHORTEST_WAIT,
    Delivery,
    backoff,
)
from relay.stores.journal.journal import DiskJournal
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase.errors import error_for
from tests.stores.words import (
    CONVERSATION,
    LEARNER,
    MORNING,
    STRANGER,
    Call,
    corrected,
    open_journal,
    texts,
)

CALL = Call()
ONE, TWO, THREE = CALL.user("one", 1.0), CALL.assistant("two", 2.0), CALL.user("three", 3.0)
PATIENCE = 30.0

"""Seconds after which a test is hung; none of them waits for it."""


class ScriptedStore:
    """Keeps what it is given; each of `troubles` meets one call, `poison` is always refused."""

    def __init__(self, *troubles: Exception, poison: Sequence[Record] = ()) -> None:
        self.troubles = list(troubles)
        self.poison = {record.id: FOREIGN_CONVERSATION for record in poison}
        self.stored: list[AnyRecord] = []
        self.sizes: list[int] = []
        self.called = asyncio.Event()

    async def put(self, records: Sequence[AnyRecord]) -> None:
        self.sizes.append(len(records))
        self.called.set()
        if self.troubles:
            raise self.troubles.pop(0)
        self.stored += [record for record in records if record.id not in self.poison]
        refused = {r.id: self.poison[r.id] for r in records if r.id in self.poison}
        if refused:
            raise RecordsRefused(refused)


class Waits:
    """Remembers which failure was waited after, and waits no time unless it is told to."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.attempts: list[int] = []
        self.begun = asyncio.Event()
        self._seconds = seconds

    def __call__(self, attempt: int) -> float:
        self.attempts.append(attempt)
        self.begun.set()
        return self._seconds


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[DiskJournal]:
    journal = await open_journal(tmp_path / "journal")
    yield journal
    await journal.aclose()


@asynccontextmanager
async def running(delivery: Delivery) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(delivery.run())
        yield
        task.cancel()


def _say(journal: DiskJournal, *records: Record) -> None:
    for record in records:
        journal.append(record)


async def test_committed_records_are_stored_in_order_and_leave_the_disk(
    journal: DiskJournal,
) -> None:
    store = ScriptedStore()
    delivery = Delivery(journal, store)
    async with running(delivery):
        _say(journal, ONE, TWO)
        assert await delivery.flush(PATIENCE)
        _say(journal, THREE)
        assert await delivery.flush(PATIENCE)
    assert store.stored == [ONE, TWO, THREE]
    assert journal.state.waiting == 0
    assert (delivery.state.depth, delivery.state.delivered) == (0, 3)
    assert delivery.state.lag_seconds == 0.0


async def test_records_that_an_earlier_run_left_on_disk_are_delivered_too(tmp_path: Path) -> None:
    before = await open_journal(tmp_path)
    _say(before, ONE, TWO)
    await before.aclose()
    journal, store = await open_journal(tmp_path), ScriptedStore()
    delivery = Delivery(journal, store)
    async with running(delivery):
        assert await delivery.flush(PATIENCE)
    assert store.stored == [ONE, TWO]
    await journal.aclose()


async def test_delivery_wakes_by_itself_when_something_is_committed(journal: DiskJournal) -> None:
    store = ScriptedStore()
    async with running(Delivery(journal, store)):
        for record in (ONE, TWO, THREE):
            store.called.clear()
            _say(journal, record)
            await asyncio.wait_for(store.called.wait(), PATIENCE)


async def test_the_first_words_go_at_once_and_those_right_after_them_together(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a feed from the database waits little, and many words are not many batches."""
    monkeypatch.setattr("relay.stores.delivery.BATCH_SECONDS", 3600.0)
    store = ScriptedStore()
    delivery = Delivery(journal, store)
    async with running(delivery):
        _say(journal, ONE)
        await asyncio.wait_for(store.called.wait(), PATIENCE)
        for record in (TWO, THREE):
            _say(journal, record)
            await journal.flush()
        assert store.sizes == [1]
        assert await delivery.flush(PATIENCE)
    assert store.sizes == [1, 2]


async def test_a_long_backlog_goes_in_batches(journal: DiskJournal) -> None:
    store = ScriptedStore()
    said = [CALL.user(f"word {n}", float(n)) for n in range(1, 2 * BATCH + 11)]
    _say(journal, *said)
    await journal.flush()
    delivery = Delivery(journal, store)
    async with running(delivery):
        assert await delivery.flush(PATIENCE)
    assert store.sizes == [BATCH, BATCH, 10]
    assert store.stored == said


async def test_S3_39_a_store_that_is_away_is_tried_until_it_is_back(journal: DiskJournal) -> None:
    store, waits = ScriptedStore(OSError("away"), TimeoutError(), OSError("away")), Waits()
    delivery = Delivery(journal, store, waits)
    with capture_logs() as logs:
        async with running(delivery):
            _say(journal, ONE, TWO)
            assert await delivery.flush(PATIENCE)
            _say(journal, THREE)
            store.troubles = [OSError("again")]
            assert await delivery.flush(PATIENCE)
    assert store.stored == [ONE, TWO, THREE]
    assert waits.attempts == [1, 2, 3, 1], "success begins a new count"
    assert (delivery.state.retries, delivery.state.failing) == (4, None)
    assert [entry["event"] for entry in logs].count("delivery recovered") == 2


async def test_S3_39_trouble_is_reported_and_words_stay_on_disk_meanwhile(
    journal: DiskJournal,
) -> None:
    store, waits, now = ScriptedStore(OSError("secret words")), Waits(PATIENCE), MORNING
    delivery = Delivery(journal, store, waits, lambda: now)
    with capture_logs() as logs:
        async with running(delivery):
            _say(journal, ONE)
            await asyncio.wait_for(store.called.wait(), PATIENCE)
            await asyncio.wait_for(waits.begun.wait(), PATIENCE)
            _say(journal, TWO, THREE)
            await journal.flush()
            oldest = journal.state.oldest_at
            assert oldest is not None
            now = oldest + 90.0
            state = delivery.state
            assert (state.depth, state.lag_seconds, state.retries) == (3, 90.0, 1)
            assert state.failing == "OSError"
            assert not await delivery.flush(0)
    assert "secret" not in str(logs)


async def test_each_kind_of_failure_is_logged_once_with_its_status_and_all_are_counted(
    journal: DiskJournal,
) -> None:
    failures = [error_for(503, ""), error_for(503, ""), error_for(429, ""), error_for(403, "42501")]
    store = ScriptedStore(*failures)
    delivery = Delivery(journal, store, Waits())
    with capture_logs() as logs:
        async with running(delivery):
            _say(journal, ONE)
            assert await delivery.flush(PATIENCE)
    told = [
        (entry["reason"], entry["status"], entry.get("code"))
        for entry in logs
        if entry["event"] == "delivery is failing"
    ]
    assert told == [
        ("DatabaseFailing", 503, None),
        ("DatabaseFailing", 429, None),
        ("DatabaseKeyRefused", 403, "42501"),
    ]
    assert delivery.failures == {
        ("DatabaseFailing", "503"): 2,
        ("DatabaseFailing", "429"): 1,
        ("DatabaseKeyRefused", "403"): 1,
    }


async def test_a_flush_does_not_wait_for_the_next_attempt(journal: DiskJournal) -> None:
    store = ScriptedStore(OSError("away"))
    delivery = Delivery(journal, store, Waits(3600.0))
    async with running(delivery):
        _say(journal, ONE)
        await asyncio.wait_for(store.called.wait(), PATIENCE)
        assert await delivery.flush(PATIENCE)
    assert store.stored == [ONE]


async def test_refused_records_are_set_aside_by_id_and_do_not_stop_the_rest(
    journal: DiskJournal,
) -> None:
    store = ScriptedStore(poison=[TWO])
    delivery = Delivery(journal, store)
    with capture_logs() as logs:
        async with running(delivery):
            _say(journal, ONE, TWO, THREE)
            assert await delivery.flush(PATIENCE)
            _say(journal, CALL.user("four", 4.0))
            assert await delivery.flush(PATIENCE)
    assert texts(store.stored) == ["one", "three", "four"]
    state = delivery.state
    assert (state.depth, state.delivered, state.set_aside, state.failing) == (0, 3, 1, None)
    assert state.refused == ((TWO.id, FOREIGN_CONVERSATION),)
    assert [(entry["event"], entry["record_id"]) for entry in logs] == [
        ("record set aside", TWO.id)
    ]


async def test_refused_records_stay_on_disk_and_are_tried_again_after_a_restart(
    tmp_path: Path,
) -> None:
    journal = await open_journal(tmp_path)
    _say(journal, ONE)
    await journal.flush()
    delivery = Delivery(journal, ScriptedStore(poison=[ONE]))
    with capture_logs():
        async with running(delivery):
            assert await delivery.flush(PATIENCE)
    assert journal.state.set_aside == 1
    await journal.aclose()

    journal, store = await open_journal(tmp_path), ScriptedStore()
    mended = Delivery(journal, store)
    async with running(mended):
        assert await mended.flush(PATIENCE)
    assert store.stored == [ONE]
    assert journal.state.set_aside == 0
    await journal.aclose()


async def test_only_the_latest_of_many_set_aside_are_named(journal: DiskJournal) -> None:
    said = [CALL.user(f"word {n}", float(n)) for n in range(1, REFUSED_KEPT + 6)]
    _say(journal, *said)
    await journal.flush()
    delivery = Delivery(journal, ScriptedStore(poison=said))
    with capture_logs():
        async with running(delivery):
            assert await delivery.flush(PATIENCE)
    assert delivery.state.set_aside == REFUSED_KEPT + 5
    assert [name for name, _ in delivery.state.refused] == [record.id for record in said[5:]]


class SlowStore(ScriptedStore):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()

    async def put(self, records: Sequence[AnyRecord]) -> None:
        await super().put(records)
        await self.answer.wait()


async def test_a_correction_that_comes_while_its_first_form_is_under_way_follows(
    journal: DiskJournal,
) -> None:
    store = SlowStore()
    delivery = Delivery(journal, store)
    better = corrected(ONE, "won", seq=9)
    async with running(delivery):
        _say(journal, ONE)
        await asyncio.wait_for(store.called.wait(), PATIENCE)
        _say(journal, better)
        await journal.flush()
        store.answer.set()
        assert await delivery.flush(PATIENCE)
    assert store.stored == [ONE, better]
    assert journal.state.waiting == 0


async def test_S3_39_a_hanging_store_never_holds_up_the_journal(journal: DiskJournal) -> None:
    store = SlowStore()
    delivery = Delivery(journal, store)
    told: list[AnyRecord] = []
    journal.subscribe(told.extend)
    async with running(delivery):
        _say(journal, ONE)
        await asyncio.wait_for(store.called.wait(), PATIENCE)
        _say(journal, TWO, THREE)
        await journal.flush()
        assert told == [ONE, TWO, THREE]
        assert journal.state.lost == 0
        assert not await delivery.flush(0)


async def test_S3_35_a_late_transcript_goes_all_the_way_to_its_place(
    journal: DiskJournal, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    delivery = Delivery(journal, store)
    answer = CALL.assistant("Here is a joke.", 2.0, seq=1)
    question = CALL.user("Tell me a joke.", 1.0, seq=2)
    async with running(delivery):
        _say(journal, answer)
        assert await delivery.flush(PATIENCE)
        _say(journal, question, question)
        assert await delivery.flush(PATIENCE)
        _say(journal, answer)
        assert await delivery.flush(PATIENCE)
    assert await store.transcript(CONVERSATION) == [question, answer]
    assert (await store.conversations(None, 1))[0].message_count == 2
    await store.aclose()


async def test_a_strangers_words_are_set_aside_and_the_owners_are_stored(
    journal: DiskJournal, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    delivery = Delivery(journal, store)
    intruder = CALL.of(user_id=STRANGER).user("Mine!", 7.0)
    with capture_logs():
        async with running(delivery):
            _say(journal, ONE, intruder, TWO)
            assert await delivery.flush(PATIENCE)
    assert await store.transcript(CONVERSATION) == [ONE, TWO]
    assert delivery.state.refused == ((intruder.id, FOREIGN_CONVERSATION),)
    await store.aclose()


async def test_S3_39_a_store_that_never_answers_is_given_up_and_asked_again(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.stores.delivery.PUT_TIMEOUT", 0)
    store, waits = SlowStore(), Waits(PATIENCE)
    delivery = Delivery(journal, store, waits)
    with capture_logs():
        async with running(delivery):
            _say(journal, ONE)
            await asyncio.wait_for(waits.begun.wait(), PATIENCE)
            seen = [delivery.state.failing]
            store.answer.set()
            assert await delivery.flush(PATIENCE)
    assert store.stored == [ONE, ONE], "asked twice: writing twice changes nothing in a store"
    assert [*seen, delivery.state.failing] == ["TimeoutError", None]
    assert delivery.state.delivered == 1


async def test_an_erased_person_is_not_on_the_way_to_the_store_any_more(
    journal: DiskJournal,
) -> None:
    store = SlowStore()
    delivery = Delivery(journal, store)
    async with running(delivery):
        _say(journal, ONE)
        await asyncio.wait_for(store.called.wait(), PATIENCE)
        _say(journal, TWO)
        await journal.flush()
        erasing = asyncio.ensure_future(delivery.erase(LEARNER))
        await asyncio.sleep(0)
        assert not erasing.done(), "the batch under way is waited for"
        store.answer.set()
        assert await erasing == 1
        assert await delivery.flush(PATIENCE)
    assert store.stored == [ONE], "nothing of before follows"


def test_waits_double_until_they_are_capped() -> None:
    waits = [backoff(attempt, jitter=1.0) for attempt in range(1, 11)]
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_half_of_a_wait_is_random() -> None:
    assert backoff(3, jitter=0.0) == 0.5
    assert backoff(3, jitter=0.5) == 0.75


@given(st.integers(min_value=1, max_value=10**9), st.floats(min_value=0, max_value=1))
def test_every_wait_has_a_floor_and_a_ceiling(attempt: int, jitter: float) -> None:
    assert SHORTEST_WAIT / 2 <= backoff(attempt, jitter) <= LONGEST_WAIT


def test_refused_records_have_ids_and_reasons_and_a_count_as_text() -> None:
    refusal = RecordsRefused({"an-id": FOREIGN_CONVERSATION})
    assert refusal.refused == {"an-id": "foreign_conversation"}
    assert str(refusal) == "1 records refused"

"""Records that wait in memory for the disk: bounded, ordered, erasable; and commit times."""

from relay.realtime.records import AnyRecord, Record, SessionRecord
from relay.stores.journal.journal import (
    LATENCIES_KEPT,
    Entry,
    JournalLimits,
    JournalQueue,
    Latencies,
    merge_versions,
    text_size,
)
from tests.stores.words import (
    CONVERSATION,
    LATER_SESSION,
    LEARNER,
    SESSION,
    STRANGER,
    Call,
    corrected,
)

CALL = Call()
ELSEWHERE = CONVERSATION.replace("4", "8")
STRANGERS = CALL.of(user_id=STRANGER, session_id=LATER_SESSION, conversation_id=ELSEWHERE)
ONE, TWO, THREE = (CALL.user(f"word {n}", float(n)) for n in (1, 2, 3))


def queue_of(*records: AnyRecord, limits: JournalLimits | None = None) -> JournalQueue:
    queue = JournalQueue(limits or JournalLimits())
    for record in records:
        assert queue.add(_entry(record))
    return queue


def _entry(record: AnyRecord) -> Entry:
    return Entry(record, 0.0, 0.0)


def _records(entries: tuple[Entry, ...]) -> list[AnyRecord]:
    return [entry.record for entry in entries]


def test_the_oldest_records_form_the_batch_until_it_is_written() -> None:
    queue = queue_of(ONE, TWO, THREE)
    assert _records(queue.fill_batch(2)) == [ONE, TWO]
    assert _records(queue.fill_batch(2)) == [ONE, TWO], "a batch that failed is tried again"
    assert len(queue) == 3
    assert _records(queue.remove_batch()) == [ONE, TWO]
    assert _records(queue.fill_batch(2)) == [THREE]


def test_room_is_freed_when_the_batch_is_written() -> None:
    queue = queue_of(ONE, TWO, limits=JournalLimits(queued_records=2))
    assert not queue.add(_entry(THREE))
    queue.fill_batch(1)
    assert not queue.add(_entry(THREE)), "the disk has not said yet that it has it"
    queue.remove_batch()
    assert queue.add(_entry(THREE))


def test_queued_characters_are_bounded_and_freed() -> None:
    limits = JournalLimits(queued_characters=100)
    big = CALL.user("x" * 30, 1.0)  # twice: what was said, and what was heard of it
    queue = queue_of(big, limits=limits)
    assert not queue.add(_entry(big))
    assert queue.erase(LEARNER, ()) == 1
    assert queue.add(_entry(big))


def test_the_utterances_of_a_conversation_are_found_in_the_batch_and_behind_it() -> None:
    queue = queue_of(ONE, STRANGERS.user("Else."), CALL.used(5), TWO)
    queue.fill_batch(1)
    assert queue.of_conversation(CONVERSATION) == [ONE, TWO]


def test_one_person_is_erased_from_the_queue_except_what_is_being_written() -> None:
    other = STRANGERS.user("I stay.")
    queue = queue_of(ONE, other, TWO, CALL.used(5))
    writing = queue.fill_batch(2)
    assert queue.erase(LEARNER, writing) == 2
    assert (_records(queue.batch), len(queue)) == ([ONE, other], 2)
    assert queue.erase(LEARNER, ()) == 1
    assert _records(queue.batch) == [other]


BETTER = corrected(ONE, "won", seq=9)


def test_records_on_disk_and_in_memory_are_merged_to_their_newest_version() -> None:
    assert merge_versions([ONE, TWO], [TWO, THREE, BETTER]) == [BETTER, TWO, THREE]
    assert merge_versions([BETTER], [ONE]) == [BETTER], "the disk was looked at later"


def test_records_delivered_between_the_two_reads_come_first() -> None:
    said: list[Record] = [ONE, TWO, THREE]
    assert merge_versions([TWO, THREE], said) == said
    assert merge_versions([], said) == said


def test_percentiles_without_commits_are_zero() -> None:
    assert Latencies().percentile_ms(0.99) == 0.0


def test_percentiles_in_milliseconds() -> None:
    latencies = Latencies()
    for milliseconds in range(100, 0, -1):
        latencies.add(milliseconds / 1000)
    assert latencies.percentile_ms(0.50) == 51
    assert latencies.percentile_ms(0.99) == 100
    assert latencies.percentile_ms(1.0) == 100


def test_each_latency_is_observed() -> None:
    told: list[float] = []
    latencies = Latencies()
    latencies.add(0.5)
    latencies.observe = told.append
    latencies.add(0.25)
    assert told == [0.25]
    assert latencies.percentile_ms(0.0) == 250


def test_only_the_latest_latencies_count() -> None:
    latencies = Latencies()
    latencies.add(60.0)
    for _ in range(LATENCIES_KEPT):
        latencies.add(0.001)
    assert latencies.percentile_ms(1.0) == 1.0


def test_only_utterances_count_towards_the_size() -> None:
    said = Call().assistant("Hello", heard_text="Hel")
    call = SessionRecord(id=SESSION, head=said.head, seq=1, door="openai", engine="echo")
    assert (text_size(said), text_size(call)) == (8, 0)

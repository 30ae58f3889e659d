from relay.realtime.records import SessionRecord
from relay.stores.journal.journal import LATENCIES_KEPT, Latencies, text_size
from tests.stores.words import SESSION, Call


def test_no_commit_yet_is_no_time() -> None:
    assert Latencies().percentile_ms(0.99) == 0.0


def test_percentiles_in_milliseconds() -> None:
    latencies = Latencies()
    for milliseconds in range(100, 0, -1):
        latencies.add(milliseconds / 1000)
    assert latencies.percentile_ms(0.50) == 51
    assert latencies.percentile_ms(0.99) == 100
    assert latencies.percentile_ms(1.0) == 100


def test_each_is_told_to_who_keeps_them() -> None:
    told: list[float] = []
    latencies = Latencies()
    latencies.add(0.5)
    latencies.observe = told.append
    latencies.add(0.25)
    assert told == [0.25]
    assert latencies.percentile_ms(0.0) == 250


def test_only_the_latest_count() -> None:
    latencies = Latencies()
    latencies.add(60.0)
    for _ in range(LATENCIES_KEPT):
        latencies.add(0.001)
    assert latencies.percentile_ms(1.0) == 1.0


def test_only_words_have_a_size_that_counts() -> None:
    said = Call().assistant("Hello", heard_text="Hel")
    call = SessionRecord(id=SESSION, head=said.head, seq=1, door="openai", engine="echo")
    assert (text_size(said), text_size(call)) == (8, 0)

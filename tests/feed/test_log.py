from hypothesis import given
from hypothesis import strategies as st

from relay.feed.feed import UtteranceLog
from tests.feed.calls import again, said


def test_the_newest_version_of_each_in_the_order_of_seq() -> None:
    log = UtteranceLog()
    one, two = said(1), said(2)
    better = again(one, 3)
    for record in (one, two, better):
        assert log.take(record)
    assert log.since(0) == [two, better]
    assert log.since(2) == [better]
    assert log.since(3) == []
    assert log.top == 3


def test_a_repeat_changes_nothing() -> None:
    log = UtteranceLog()
    log.take(said(1))
    log.take(said(2))
    assert not log.take(said(2))
    assert not log.take(said(1))
    assert len(log) == 2


def test_words_that_were_lost_are_counted() -> None:
    log = UtteranceLog()
    log.take(said(1))
    log.take(said(4))
    assert log.missing == 2


def test_beyond_its_bounds_the_oldest_goes_and_the_floor_says_so() -> None:
    by_count, by_size = UtteranceLog(records=2), UtteranceLog(characters=40)
    for seq in (1, 2, 3):
        by_count.take(said(seq))
        by_size.take(said(seq, "a" * 10))
    assert [record.seq for record in by_count.since(0)] == [2, 3]
    assert [record.seq for record in by_size.since(0)] == [2, 3]
    assert by_count.floor == by_size.floor == 1


def test_one_answer_larger_than_the_bound_is_not_kept() -> None:
    log = UtteranceLog(characters=10)
    assert log.take(said(1, "a" * 11))
    assert log.since(0) == []
    assert log.floor == log.top == 1


def test_what_it_forgot_is_below_its_floor() -> None:
    log = UtteranceLog()
    log.take(said(1))
    log.forget()
    assert (len(log), log.floor, log.top) == (0, 1, 1)
    log.take(said(2))
    assert [record.seq for record in log.since(0)] == [2]


@given(st.lists(st.integers(1, 6), max_size=30), st.integers(1, 8), st.integers(0, 30))
def test_above_the_floor_nothing_is_missing(items: list[int], bound: int, since: int) -> None:
    log, newest = UtteranceLog(records=bound), dict[str, int]()
    for seq, item in enumerate(items, start=1):
        record = again(said(item), seq)
        newest[record.id] = seq
        log.take(record)
    wanted = sorted(seq for seq in newest.values() if seq > max(since, log.floor))
    assert [record.seq for record in log.since(max(since, log.floor))] == wanted
    assert len(log) <= bound

"""What a coach hears, and when."""

from math import inf

from relay.session.coach_bridge import LEARNER, LEARNER_BYTES, MODEL, MODEL_BYTES, MonitorBuffer

SECOND = bytes(48_000)
TENTH = bytes(4_800)


def taken(ears: MonitorBuffer, now: float) -> list[tuple[bytes, int]]:
    found = []
    while (frame := ears.take(now)) is not None:
        found.append((frame[:1], len(frame) - 1))
    return found


def test_the_learner_is_heard_at_once() -> None:
    ears = MonitorBuffer()
    assert ears.next() == inf
    ears.learner(TENTH)
    assert ears.next() == 0.0
    assert taken(ears, 5.0) == [(LEARNER, 4800)]


def test_the_model_is_heard_as_fast_as_the_learner_hears_it() -> None:
    ears = MonitorBuffer()
    for _ in range(10):
        ears.model(TENTH)
    assert len(taken(ears, 5.0)) == 3, "a lead of two tenths, and what is played"
    assert taken(ears, 5.05) == []
    assert round(ears.next(), 3) == 5.1
    assert taken(ears, 5.101) == [(MODEL, 4800)]


def test_what_the_learner_does_not_hear_any_more_the_coach_does_not_either() -> None:
    ears = MonitorBuffer()
    for _ in range(10):
        ears.model(TENTH)
    taken(ears, 5.0)
    ears.flush()
    assert taken(ears, 9.0) == []
    ears.model(TENTH)
    assert taken(ears, 9.0) == [(MODEL, 4800)]


def test_a_slow_coach_misses_the_oldest_sound() -> None:
    ears = MonitorBuffer()
    for number in range(20):
        ears.learner(bytes([number]) + SECOND[1:])
    first = ears.take(1.0)
    assert first is not None
    assert first[1] == 15
    assert len(taken(ears, 1.0)) == LEARNER_BYTES // 48_000 - 1


def test_an_answer_that_came_at_once_is_kept_up_to_two_minutes() -> None:
    ears = MonitorBuffer()
    for number in range(130):
        ears.model(bytes([number]) + SECOND[1:])
    first = ears.take(1.0)
    assert first is not None
    assert first[1] == 130 - MODEL_BYTES // 48_000

"""Pacing: audio is sent at most a bounded lead ahead of what is heard."""

from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.events import Frame
from relay.realtime.playout import HELD_BYTES, START_SECONDS, Pacing, Playout


def pacing(lead_ms: int = 500) -> tuple[Playout, Pacing]:
    playout = Playout()
    return playout, Pacing(playout, lead_ms)


def audio(paced: tuple[Playout, Pacing], name: str, now: float, ms: int = 250) -> list[Frame]:
    playout, pacing = paced
    playout.received("A1", ms)
    return pacing.push_audio(name.encode(), "A1", ms, now)


def test_a_burst_is_sent_as_it_is_heard_and_nothing_overtakes_it() -> None:
    paced = playout, pace = pacing()
    sent = [frame for name in "abcdef" for frame in audio(paced, name, 0.0)]
    assert sent == [b"a", b"b"], "a lead of 600 with the start is enough for now"
    assert pace.push_other(b"done", 0.0) == []
    heard: list[Frame] = []
    now = 0.0
    while pace.is_holding:
        now = pace.next()
        heard += pace.due(now)
        assert now + 1e-9 >= playout.lead_ends_at(500 + 250), "one piece more than the lead at most"
    assert heard == [b"c", b"d", b"e", b"f", b"done"]
    assert pace.push_other(b"next", now) == [b"next"]


def test_an_interruption_drops_the_audio_and_releases_the_rest_in_order() -> None:
    paced = playout, pace = pacing()
    for name in "abcd":
        audio(paced, name, 0.0)
    pace.push_other(b"item.done", 0.0)
    audio(paced, "e", 0.0)
    pace.push_other(b"response.done", 0.0)
    assert pace.flush() == [b"item.done", b"response.done"]
    assert not pace.is_holding
    (cut,) = playout.interrupt(START_SECONDS + 0.3)
    assert (cut.ms, cut.of_ms) == (300, 1250)


def test_above_its_bound_it_sends_at_once_instead_of_blocking_the_engine() -> None:
    paced = pacing()
    for _ in range(3):
        audio(paced, "a", 0.0, ms=1000)
    flood = audio(paced, "x" * HELD_BYTES, 0.0, ms=1000)
    assert len(flood) >= 1
    assert sum(map(len, flood)) <= HELD_BYTES + 10


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400), st.floats(0, 1)), max_size=60))
def test_everything_is_sent_once_and_in_order(steps: list[tuple[bool, int, float]]) -> None:
    paced = _, pace = pacing(200)
    now, out, pushed = 0.0, list[Frame](), list[bytes]()
    for number, (is_audio, ms, pause) in enumerate(steps):
        pushed.append(str(number).encode())
        out += audio(paced, str(number), now, ms) if is_audio else pace.push_other(pushed[-1], now)
        now += pause
        out += pace.due(now)
    while pace.is_holding:
        now = max(now, pace.next())
        out += pace.due(now)
    assert out == pushed

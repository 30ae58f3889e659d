"""Pacing: audio is sent at most a bounded lead ahead of what is heard."""

from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.events import Frame
from relay.realtime.playout import HELD_BYTES, START_SECONDS, Pacing, Playout

DONE = "response.done"
DELTA = "response.output_audio_transcript.delta"
HEARD = "conversation.item.input_audio_transcription.completed"


def pacing(lead_ms: int = 500, *after_playback: str) -> tuple[Playout, Pacing]:
    playout = Playout()
    return playout, Pacing(playout, lead_ms, after_playback)


def audio(paced: tuple[Playout, Pacing], name: str, now: float, ms: int = 250) -> list[Frame]:
    playout, pacing = paced
    playout.received("A1", ms)
    return pacing.push_audio(name.encode(), "A1", ms, now)


def test_a_burst_is_sent_as_it_is_heard_and_nothing_of_it_overtakes_it() -> None:
    paced = playout, pace = pacing()
    sent = [frame for name in "abcdef" for frame in audio(paced, name, 0.0)]
    assert sent == [b"a", b"b"], "a lead of 600 with the start is enough for now"
    assert pace.push_other(b"done", DONE, 0.0) == []
    heard: list[Frame] = []
    now = 0.0
    while pace.is_holding:
        now = pace.next()
        heard += pace.due(now)
        assert now + 1e-9 >= playout.lead_ends_at(500 + 250), "one piece more than the lead at most"
    assert heard == [b"c", b"d", b"e", b"f", b"done"]
    assert pace.push_other(b"next", DONE, now) == [b"next"]


def test_the_learners_words_do_not_wait_behind_an_answer() -> None:
    paced = _, pace = pacing()
    for name in "abcdef":
        audio(paced, name, 0.0)
    assert pace.push_other(b"delta", DELTA, 0.0) == []
    assert pace.push_other(b"heard", HEARD, 0.0) == [b"heard"]
    assert pace.push_other(b"error", "error", 0.0) == [b"error"]


def test_what_comes_after_playback_waits_until_the_answer_was_heard() -> None:
    paced = playout, pace = pacing(500, "conversation.created", DONE)
    for name in "ab":
        audio(paced, name, 0.0)
    assert not pace.is_holding, "all of it is sent, and half a second is not heard"
    assert pace.push_other(b"delta", DELTA, 0.0) == [b"delta"]
    assert pace.push_other(b"created", "conversation.created", 0.0) == []
    assert pace.push_other(b"done", DONE, 0.0) == []
    assert pace.next() == START_SECONDS + 0.5
    assert pace.due(pace.next() - 0.01) == []
    assert pace.due(pace.next()) == [b"created", b"done"]
    assert playout.ended("A1", START_SECONDS + 0.51)


def test_without_audio_nothing_waits_for_playback() -> None:
    _, pace = pacing(500, DONE)
    assert pace.push_other(b"done", DONE, 7.0) == [b"done"]


def test_an_interruption_drops_the_audio_and_releases_the_rest_in_order() -> None:
    paced = playout, pace = pacing()
    for name in "abcd":
        audio(paced, name, 0.0)
    pace.push_other(b"item.done", "response.output_item.done", 0.0)
    audio(paced, "e", 0.0)
    pace.push_other(b"response.done", DONE, 0.0)
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
        if is_audio:
            out += audio(paced, str(number), now, ms)
        else:
            out += pace.push_other(pushed[-1], DELTA, now)
        now += pause
        out += pace.due(now)
    while pace.is_holding:
        now = max(now, pace.next())
        out += pace.due(now)
    assert out == pushed

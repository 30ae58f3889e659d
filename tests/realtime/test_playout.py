"""The model of the client's player, compared with simulated players."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.playout import START_SECONDS, HeardAudio, Playout, cut_to_heard


def send(playout: Playout, item: str, ms: int, now: float) -> None:
    """Receive and send in the same moment."""
    playout.received(item, ms)
    playout.sent(item, ms, now)


def test_audio_is_heard_in_real_time_once_it_starts() -> None:
    playout = Playout()
    send(playout, "A1", 1000, 0.0)
    assert playout.heard("A1", 0.0) == HeardAudio("A1", 0, 1000, exact=False)
    assert playout.heard("A1", START_SECONDS + 0.4).ms == 400
    assert not playout.ended("A1", START_SECONDS + 0.99)
    assert playout.ended("A1", START_SECONDS + 1.0)
    assert playout.ended("A1", playout.ends_at("A1"))


def test_a_burst_queues_up_and_two_items_follow_each_other() -> None:
    playout = Playout()
    for _ in range(4):
        send(playout, "A1", 250, 0.0)
    send(playout, "A2", 500, 0.1)
    at = START_SECONDS + 1.2
    assert [playout.heard(item, at).ms for item in ("A1", "A2")] == [1000, 200]


def test_a_player_that_ran_dry_starts_again() -> None:
    playout = Playout()
    send(playout, "A1", 200, 0.0)
    send(playout, "A1", 200, 5.0)
    assert playout.heard("A1", 5.0).ms == 200
    assert playout.heard("A1", 5.0 + START_SECONDS + 0.1).ms == 300


def test_an_interruption_returns_what_was_cut_and_empties_the_player() -> None:
    playout = Playout()
    send(playout, "A1", 1000, 0.0)
    send(playout, "A2", 1000, 0.0)
    now = START_SECONDS + 0.3
    assert playout.interrupt(now) == [
        HeardAudio("A1", 300, 1000, exact=False),
        HeardAudio("A2", 0, 1000, exact=False),
    ]
    assert playout.heard("A1", now + 9).ms == 300
    assert playout.interrupt(now + 9) == []
    send(playout, "A3", 100, now + 10)
    assert playout.heard("A3", now + 10 + START_SECONDS + 0.05).ms == 50


def test_audio_that_was_on_its_way_when_it_was_cut_is_played_no_more() -> None:
    playout = Playout()
    send(playout, "a", 1000, 0.0)
    assert [cut.ms for cut in playout.interrupt(START_SECONDS + 0.3)] == [300]
    send(playout, "a", 1000, 0.5)
    assert not playout.is_playing("a")
    assert playout.ended("a", 0.5)
    assert playout.interrupt(1.0) == []
    assert playout.heard("a", 2.0).ms == 300


def test_what_was_heard_to_its_end_is_not_cut() -> None:
    playout = Playout()
    send(playout, "A1", 300, 0.0)
    assert playout.interrupt(START_SECONDS + 0.3) == []


def test_the_clients_own_report_takes_precedence() -> None:
    playout = Playout()
    send(playout, "A1", 2000, 0.0)
    playout.played("A1", 500, 1.0)
    assert playout.heard("A1", 1.1) == HeardAudio("A1", 600, 2000, exact=True)
    assert not playout.ended("A1", 2.4)
    assert playout.ended("A1", playout.ends_at("A1")), "even if it plays later than estimated"
    playout.played("A1", 99_000, 1.2)
    assert playout.heard("A1", 1.2).ms == 2000
    playout.played("unknown", 5, 1.2)
    assert playout.heard("unknown", 1.2) == HeardAudio("unknown", 0, 0, exact=False)


def test_audio_that_is_held_back_was_not_heard() -> None:
    playout = Playout()
    send(playout, "A1", 500, 0.0)
    playout.received("A1", 1500)
    playout.received("A2", 700)
    now = START_SECONDS + 0.6
    assert playout.lead_ends_at(300) == START_SECONDS + 0.5 - 0.3
    assert not playout.ended("A1", now)
    assert playout.interrupt(now) == [
        HeardAudio("A1", 500, 2000, exact=False),
        HeardAudio("A2", 0, 700, exact=False),
    ]
    assert playout.lead_ends_at(0) == 0.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B"]),
            st.integers(0, 500),
            st.floats(0, 2, allow_nan=False),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_heard_audio_never_exceeds_what_was_sent_and_never_shrinks(
    steps: list[tuple[str, int, float, bool]],
) -> None:
    playout, now = Playout(), 0.0
    sent = {"A": 0, "B": 0}
    for item, ms, pause, interrupt in steps:
        before = {name: playout.heard(name, now).ms for name in sent}
        send(playout, item, ms, now)
        sent[item] += ms
        now += pause
        for name, most in sent.items():
            assert before[name] <= playout.heard(name, now).ms <= most
        if interrupt:
            playout.interrupt(now)


def _estimation_error(seed: int, reports: bool) -> float:
    """Interrupt an answer sent in bursts to a simulated player; returns the error in ms."""
    chance = random.Random(seed)
    playout, latency = Playout(), chance.uniform(0.02, 0.2)
    length = chance.randrange(2_000, 15_000, 250)
    pace = chance.uniform(5, 12)
    begun = latency  # the player starts as soon as the first piece is there
    cut_at = chance.uniform(0.3, length / 1000)
    sent_until, now = 0, 0.0
    next_report = 0.1
    while now < cut_at:
        while sent_until < length and sent_until / 1000 / pace <= now:
            send(playout, "A1", 250, sent_until / 1000 / pace)
            sent_until += 250
        if reports and now >= next_report:
            travel = chance.uniform(0.005, 0.04)
            at_client = max(0.0, now - travel - begun) * 1000
            playout.played("A1", round(min(at_client, sent_until)), now)
            next_report += 0.1
        now += 0.01
    truth = min(max(0.0, cut_at - begun) * 1000, length)
    (heard,) = playout.interrupt(cut_at) or [playout.heard("A1", cut_at)]
    return abs(heard.ms - truth)


def test_200_interruptions_are_within_300_ms_by_estimate_and_60_with_the_clients_report() -> None:
    estimated = sorted(_estimation_error(seed, reports=False) for seed in range(200))
    assert estimated[189] <= 300, "p95"
    reported = [_estimation_error(seed, reports=True) for seed in range(200)]
    assert max(reported) <= 60


TEXT = "one two three four five"


@pytest.mark.parametrize(
    ("heard_ms", "audio_ms", "text"),
    [
        (None, 1000, TEXT),
        (None, 0, TEXT),
        (0, 1000, ""),
        (1000, 1000, TEXT),
        (5000, 1000, TEXT),
        (500, 1000, "one two"),
        (100, 1000, ""),
        (300, 0, "one"),
        (700, 0, "one two"),
        (5000, 0, TEXT),
        (-5, 1000, ""),
    ],
)
def test_interrupted_text_is_cut_to_the_whole_words_that_were_heard(
    heard_ms: int | None, audio_ms: int, text: str
) -> None:
    assert cut_to_heard(TEXT, heard_ms, audio_ms) == text

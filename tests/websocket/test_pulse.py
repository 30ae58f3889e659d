"""Counting pings and pongs."""

from relay.websocket.connection import PingTracker


def test_a_pong_answers_its_ping_and_those_before_it() -> None:
    pulse = PingTracker()
    assert [pulse.beat() for _ in range(4)] == [b"1", b"2", b"3", b"4"]
    pulse.pong(b"3")
    assert pulse.unanswered == 1
    pulse.pong(b"2")
    assert pulse.unanswered == 1
    pulse.pong(b"4")
    assert pulse.unanswered == 0


def test_other_pongs_answer_nothing() -> None:
    pulse = PingTracker()
    pulse.beat()
    for payload in (b"", b"2", b"0", b"-1", b"x", b" 1", b"1.0", "²".encode(), b"9" * 125):
        pulse.pong(payload)
    assert pulse.unanswered == 1

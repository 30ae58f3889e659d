"""What is kept of a call that has ended."""

from relay.feed.live_session import over
from relay.realtime.coaching.control import Command
from tests.feed.calls import HEAD, FakeCall


def test_facts_stay_and_nothing_can_be_commanded_any_more() -> None:
    ended = over(FakeCall(seq=7, cost=12, why="client_left"))
    assert (ended.head, ended.settled(), ended.micro(), ended.ending()) == (
        HEAD,
        7,
        12,
        "client_left",
    )
    assert (list(ended.partials()), ended.tokens()) == ([], {"text_out": 7})
    assert (ended.is_paused(), ended.speaker()) == (False, None)
    assert ended.obey(Command("pause", "kim")) == "over"
    assert ended.voice("kim") == "over"

"""The facts that stay of a session that has ended."""

from relay.feed.live_session import over
from relay.realtime.coaching.control import Command
from tests.feed.calls import HEAD, FakeCall


def test_an_ended_session_keeps_its_facts_and_takes_no_commands() -> None:
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

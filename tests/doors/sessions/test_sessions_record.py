"""What a session of the session API keeps of what was said."""

from relay.doors.sessions.session import CoachingSession
from relay.summary.extract import SpokenLine


async def test_S0_13_a_summary_has_the_order_of_arrival_whatever_clocks_say() -> None:
    async def no_call(_: CoachingSession) -> None:
        raise AssertionError("nobody speaks")

    session = CoachingSession("one", "ada", {}, 1024, no_call, lambda _: None)  # type: ignore[arg-type]
    session.add_entry("I feel stuck.", "client", "2031-01-01T00:00:00Z")
    session.add_response("Tell me more.", "general")
    session.add_entry("Take your time.", "coach", "1999-01-01T00:00:00Z")

    assert list(session.said) == [
        SpokenLine("learner", "I feel stuck."),
        SpokenLine("model", "Tell me more."),
        SpokenLine("coach", "Take your time."),
    ]

"""What was heard, and the figures of it (S0-13)."""

from relay.summary.extract import Figures, SpokenLine, figures_of, lines_of
from tests.stores.words import LATER_SESSION, MORNING, Call

FIRST = Call()
LATER = Call(session_id=LATER_SESSION, started_at=MORNING + 86_400)


def test_a_summary_is_of_what_was_heard() -> None:
    cut = FIRST.assistant("A long story.", 2.0, heard_text="A long", state="interrupted")
    unheard = FIRST.assistant("Nobody heard this.", 3.0, heard_text="", state="unheard")
    person = FIRST.assistant("I am here.", 4.0, coach_id="kim")
    assert lines_of([FIRST.user("Hello."), cut, unheard, person]) == [
        SpokenLine("learner", "Hello."),
        SpokenLine("model", "A long"),
        SpokenLine("coach", "I am here."),
    ]


def test_S0_13_the_figures_are_counted_and_the_time_between_sessions_is_none() -> None:
    said = [
        FIRST.user("Hello.", 1.0),
        FIRST.assistant("Hi.", 10.0, heard_ms=2_600, audio_ms=9_000),
        LATER.user("Again.", 5.0),
        LATER.assistant("Yes?", 20.0, coach_id="kim", audio_ms=1_000),
    ]
    # 10 s + 2.6 s that were heard, and 20 s + 1 s.
    assert figures_of(said) == Figures(34, 4, 1, 1)


def test_nothing_is_nothing() -> None:
    assert lines_of([]) == []
    assert figures_of([]) == Figures(0, 0, 0, 0)

"""Extracted summaries: the sentences chosen, the English they rest on, and the figures."""

import pytest

from relay.summary.extract import (
    LONGEST,
    MOST_POINTS,
    SENTENCES,
    Figures,
    Points,
    SpokenLine,
    content_words,
    extract,
    figures_of,
    is_promise,
    is_wish,
    lines_of,
    sentences,
)
from tests.stores.words import LATER_SESSION, MORNING, Call

TALK = [
    SpokenLine("learner", "Hello. I want to run a marathon, but my knee hurts after long runs."),
    SpokenLine("model", "That sounds like a big goal. How often do you run at the moment?"),
    SpokenLine("learner", "Three times. I'll stretch my knee every morning this week."),
    SpokenLine("coach", "Let's plan one rest day. I will send you a plan for the marathon."),
    SpokenLine("model", "A rest day protects your knee. Shall we look at the plan?"),
    SpokenLine("learner", "Yes. By next Friday I want to run without pain in my knee."),
]


def test_S0_13_what_came_often_is_the_summary() -> None:
    points = extract(TALK)
    assert points.main_topics[0] == "knee"
    assert {"marathon", "plan"} <= set(points.main_topics)
    assert points.action_items == [
        "I'll stretch my knee every morning this week.",
        "Let's plan one rest day.",
        "I will send you a plan for the marathon.",
    ]
    assert points.next_week_goals == [
        "I want to run a marathon, but my knee hurts after long runs.",
        "By next Friday I want to run without pain in my knee.",
    ]
    assert points.text.startswith("Learner: I want to run a marathon, but my knee hurts")
    assert "Hello" not in points.text
    assert "Coach: " in points.text


def test_every_sentence_of_it_was_said_and_in_that_order() -> None:
    said = " ".join(line.text for line in TALK)
    for name in ("Learner: ", "Voice: ", "Coach: "):
        assert name not in said
    text = extract(TALK).text
    for name in ("Learner: ", "Voice: ", "Coach: "):
        text = text.replace(name, "|")
    chosen = [part.strip() for part in text.split("|") if part.strip()]
    assert 1 < len(chosen) <= SENTENCES
    places = [said.index(sentence) for sentence in chosen]
    assert places == sorted(places)


def test_the_same_words_always_make_the_same_summary() -> None:
    assert extract(TALK) == extract(list(TALK))


def test_an_empty_conversation_gives_an_empty_extract() -> None:
    assert extract([]) == Points(text="")


def test_a_conversation_of_one_word_gives_that_word() -> None:
    points = extract([SpokenLine("learner", "Hello.")])
    assert points.text == "Learner: Hello."


def test_a_summary_stays_short_however_long_the_conversation() -> None:
    many = [SpokenLine("learner", f"I will do the thing number {'x' * n}.") for n in range(2, 400)]
    endless = [SpokenLine("model", "run knee plan " * 5000)]
    points = extract([*many, *endless])
    assert len(points.action_items) == MOST_POINTS
    assert len(points.text) < (LONGEST + 20) * SENTENCES


def test_sentences_and_words() -> None:
    text = "I run.  It hurts!\nWhy?  …  Because my knee\u2019s old"
    assert sentences(text) == ["I run.", "It hurts!", "Why?", "Because my knee\u2019s old"]
    assert content_words("My knee\u2019s the problem, and I don't stretch it.") == [
        "knee",
        "problem",
        "stretch",
    ]


@pytest.mark.parametrize(
    ("sentence", "promise"),
    [
        ("I will call her.", True),
        ("I\u2019ll stretch.", True),
        ("Let's plan a rest day.", True),
        ("We are going to practise.", True),
        ("You will practise twice.", True),
        ("Will I call her?", False),
        ("I will call her?", False),
        ("I'll see.", False),
        ("I called her.", False),
    ],
)
def test_promises(sentence: str, promise: bool) -> None:
    assert is_promise(sentence) is promise


@pytest.mark.parametrize(
    ("sentence", "wish"),
    [
        ("My goal is a marathon.", True),
        ("I want to run.", True),
        ("I\u2019d like to sleep more.", True),
        ("By next Friday it is done.", True),
        ("Do you want to run next week?", False),
        ("I ran.", False),
    ],
)
def test_wishes(sentence: str, wish: bool) -> None:
    assert is_wish(sentence) is wish


FIRST = Call()

LATER = Call(session_id=LATER_SESSION, started_at=MORNING + 86_400)


def test_a_summary_covers_what_was_heard() -> None:
    cut = FIRST.assistant("A long story.", 2.0, heard_text="A long", state="interrupted")
    unheard = FIRST.assistant("Nobody heard this.", 3.0, heard_text="", state="unheard")
    person = FIRST.assistant("I am here.", 4.0, coach_id="kim")
    assert lines_of([FIRST.user("Hello."), cut, unheard, person]) == [
        SpokenLine("learner", "Hello."),
        SpokenLine("model", "A long"),
        SpokenLine("coach", "I am here."),
    ]


def test_S0_13_the_figures_are_counted_without_the_time_between_sessions() -> None:
    said = [
        FIRST.user("Hello.", 1.0),
        FIRST.assistant("Hi.", 10.0, heard_ms=2_600, audio_ms=9_000),
        LATER.user("Again.", 5.0),
        LATER.assistant("Yes?", 20.0, coach_id="kim", audio_ms=1_000),
    ]
    # 10 s + 2.6 s that were heard, and 20 s + 1 s.
    assert figures_of(said) == Figures(34, 4, 1, 1)


def test_figures_of_an_empty_conversation_are_zero() -> None:
    assert lines_of([]) == []
    assert figures_of([]) == Figures(0, 0, 0, 0)

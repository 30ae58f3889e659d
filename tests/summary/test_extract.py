"""Sentences that were said, chosen by how often their words came."""

from relay.summary.extract import LONGEST, MOST_POINTS, SENTENCES, Points, SpokenLine, extract

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


def test_of_nothing_there_is_nothing() -> None:
    assert extract([]) == Points(text="")


def test_of_one_word_there_is_that_word() -> None:
    points = extract([SpokenLine("learner", "Hello.")])
    assert points.text == "Learner: Hello."


def test_however_much_is_said_a_summary_stays_short() -> None:
    many = [SpokenLine("learner", f"I will do the thing number {'x' * n}.") for n in range(2, 400)]
    endless = [SpokenLine("model", "run knee plan " * 5000)]
    points = extract([*many, *endless])
    assert len(points.action_items) == MOST_POINTS
    assert len(points.text) < (LONGEST + 20) * SENTENCES

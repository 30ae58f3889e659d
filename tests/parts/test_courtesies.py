"""What is said around the topics: how it is recognised, and what nobody said is not heard."""

import pytest

from relay.parts.responder import NOT_CAUGHT, SMALL_TALK, TOPICS, topic_of


def name_of(text: str) -> str | None:
    topic = topic_of(text)
    return topic.name if topic else None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hello", "greeting"),
        ("Hi there!", "greeting"),
        ("good morning", "greeting"),
        ("hello how are you", "greeting"),
        ("thank you", "thanks"),
        ("Thanks a lot.", "thanks"),
        ("good bye", "goodbye"),
        ("Goodbye!", "goodbye"),
        ("thank you and goodbye", "goodbye"),
        ("see you tomorrow", "goodbye"),
        ("who are you", "help"),
        ("What can you do?", "help"),
        ("can you help me", "help"),
        ("are you a robot", "help"),
        ("What\u2019s your name?", "help"),
    ],
)
def test_courtesies_are_recognised(text, name):
    assert name_of(text) == name


@pytest.mark.parametrize("text", ["hi", "hey", "thanks", "bye", "help", "by", "you", "good", "oh"])
def test_what_the_recogniser_makes_of_single_letters_and_figures_is_not(text):
    """It hears "hi" in "I", "hey" in "K", "thanks" in "six"."""
    assert name_of(text) is None


def test_a_topic_goes_before_the_courtesy_around_it():
    assert name_of("hello i want to talk about my goals") == "goals"
    assert name_of("thank you that helps me with my sleep") == "sleep"


def test_what_was_not_caught_first_names_the_two_ways_to_a_real_voice():
    first, *later = NOT_CAUGHT
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1/realtime", "LocalAI", "speaches"):
        assert name in first
    assert all(text.startswith("I did not catch that.") for text in NOT_CAUGHT)
    assert len(later) >= 2


def test_the_help_names_every_topic_but_one_by_its_name():
    """Relationships are "the people around you"."""
    text = SMALL_TALK[0].answers[0]
    missing = [topic.name for topic in TOPICS if topic.name not in text]
    assert missing == ["relationships"]

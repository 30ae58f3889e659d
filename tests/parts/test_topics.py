"""The topics as data: well formed, and made of words that the recogniser can hear."""

import re
from pathlib import Path

import pytest

from relay.parts.responder import OPENERS, TOPICS, Topic, topic_of
from tests.components import needs, require


def written_words(topic: Topic) -> set[str]:
    return set(re.findall(r"[a-z']+", f"{topic.keys} {topic.phrases}"))


def by_name(topic: Topic) -> str:
    return topic.name


def test_there_are_about_a_dozen_each_with_a_name_of_its_own():
    assert [topic.name for topic in TOPICS] == [
        "goals", "stress", "sleep", "work", "planning", "confidence", "relationships", "health",
        "feelings", "habits",
    ]  # fmt: skip


@pytest.mark.parametrize("topic", TOPICS, ids=by_name)
def test_answers_follow_up_and_ask_on_in_one_or_two_sentences(topic):
    assert len(topic.answers) >= 3
    assert len(set(topic.answers)) == len(topic.answers)
    for answer in topic.answers:
        assert 1 <= len(re.findall(r"[.?](?: |$)", answer)) <= 2
        assert len(answer) < 160


@pytest.mark.parametrize("topic", TOPICS, ids=by_name)
def test_no_phrase_is_a_single_word(topic):
    phrases = [phrase.split() for phrase in topic.phrases.split(";")]
    assert min(map(len, phrases)) >= 2
    assert all(len(opener.split()) >= 1 for opener in OPENERS.split(";"))


@pytest.mark.parametrize("topic", TOPICS, ids=by_name)
def test_no_key_word_is_enough_alone_or_twice(topic):
    for variants in topic.keys.split(","):
        for word in variants.split():
            assert topic_of(word) is None, word
        assert topic_of(" and ".join(variants.split())) is None, variants


@needs("voice")
@pytest.mark.parametrize("topic", TOPICS, ids=by_name)
def test_the_recogniser_knows_every_word(topic):
    dictionary = require("voice").with_name("model") / "en-us" / "cmudict-en-us.dict"
    known = {line.split(maxsplit=1)[0] for line in Path(dictionary).read_text().splitlines()}
    assert written_words(topic) <= known

"""The responder: what people say to a coach finds its topic, and nothing else does."""

import asyncio
from contextlib import suppress

import pytest

from relay.parts.responder import (
    MOST_WORDS,
    NOT_CAUGHT,
    SMALL_TALK,
    TOPICS,
    TopicResponder,
    topic_of,
    words_of,
)
from tests.components import needs

with suppress(ImportError):  # without the extra, `needs("voice")` says so
    from relay.parts.stt import PocketsphinxTranscriber
    from tests.engines.cascade.recordings import prompt, prompt_texts
import re
from pathlib import Path

from relay.parts.responder import OPENERS, Topic
from tests.components import require

ANSWERS = {topic.name: topic.answers for topic in (*TOPICS, *SMALL_TALK)}

SENTENCES = {
    "goals": [
        "i want to talk about my goals",
        "I'd like to set a new goal for this year.",
        "what should i do with my life",
        "i want to achieve something big",
        "my dream is a house by the sea",
        "i think a lot about my future",
    ],
    "stress": [
        "I'm stressed.",
        "i feel so stressed out",
        "there is too much pressure and i feel anxious",
        "i am overwhelmed by all of this",
        "i worry all day long",
        "my stress is getting worse",
    ],
    "sleep": [
        "I can't sleep at night.",
        "i have trouble sleeping",
        "i'm always tired",
        "i lie awake until three",
        "i go to bed late and wake up tired",
        "how do i fall asleep faster",
    ],
    "work": [
        "i have problems with my boss",
        "I hate my job.",
        "there are too many meetings at the office",
        "i want to change my career",
        "let us talk about work",
        "my colleagues do not listen to me",
    ],
    "planning": [
        "i never have enough time",
        "How can I plan my day?",
        "i need a plan for next week",
        "i keep putting things off",
        "my schedule is full",
        "i am always running late",
    ],
    "confidence": [
        "i am not confident",
        "i don't believe in myself",
        "i'm afraid of making a mistake",
        "I need more confidence.",
        "i doubt myself all the time",
        "i feel insecure when i speak",
    ],
    "relationships": [
        "my wife and i argue a lot",
        "I miss my family.",
        "i had a fight with my best friend",
        "let's talk about my mother",
        "my children do not call me",
        "i want to save my marriage",
    ],
    "health": [
        "i want to lose weight",
        "I should go to the gym.",
        "i need more exercise",
        "how do i get in shape",
        "i want to eat healthier food",
        "i have problems with my health",
    ],
    "feelings": [
        "i feel sad",
        "I'm so lonely.",
        "i am angry and upset",
        "i feel good today",
        "i have been crying and feeling bad",
        "i'm very happy",
    ],
    "habits": [
        "i want to quit smoking",
        "i have a bad habit",
        "I can't motivate myself.",
        "i need a morning routine",
        "help me with my habits",
        "i have no motivation at all",
    ],
}

NOT_TOPICS = [
    "",
    "   ",
    "you are currently the only person in this conference",
    "please hold while i try that extension",
    "the quick brown fox jumps over the lazy dog",
    "what is the capital of france",
    "work",
    "time",
    "family family family",
    "the plan was fine",
    "a man walked into a bar and ordered a drink",
    "i'm afraid i don't know who sent this message",
    "12345",
    "\u4f60\u597d",
]

SMALL_TALK_PROMPTS = {
    "auth-thankyou": "thanks",
    "basic-pbx-ivr-main": "thanks",
    "demo-thanks": "goodbye",
    "goodbye": "goodbye",
    "hello": "greeting",
    "hello-world": "greeting",
    "priv-introsaved": "thanks",
    "privacy-thankyou": "thanks",
    "queue-thankyou": "thanks",
    "vm-goodbye": "goodbye",
}
"""Prompts that do say "thank you", "goodbye" or "hello": all that may be placed."""

SAMPLE = [
    *("all-circuits-busy-now", "call-fwd-on-busy", "conf-full", "conf-invalid", "conf-onlyperson"),
    *("demo-nogo", "demo-nomatch", "demo-thanks", "dictate/forhelp", "digits/6", "digits/day-1"),
    *("digits/today", "dir-nomatch", "followme/sorry", "goodbye", "hello", "im-sorry"),
    *("letters/i", "letters/k", "one-moment-please", "please-try-call-later", "priv-introsaved"),
    *("queue-holdtime", "queue-thankyou", "something-terribly-wrong", "time", "transfer"),
    *("sorry-youre-having-problems", "tt-monkeysintro", "tt-weasels", "vm-Family", "vm-Friends"),
    *("vm-Work", "vm-goodbye", "vm-isonphone", "vm-nonumber", "vm-rec-busy", "vm-sorry"),
    *("vm-whichbox", "with"),
]
"""Forty of the 568, among them all that come near a topic. `measure.py` listens to all of them."""


def name_of(text: str) -> str | None:
    topic = topic_of(text)
    return topic.name if topic else None


class TestPlacing:
    @pytest.mark.parametrize(
        ("name", "text"), [(name, text) for name, texts in SENTENCES.items() for text in texts]
    )
    def test_what_people_say_to_a_coach_is_placed(self, name, text):
        assert name_of(text) == name

    def test_every_topic_is_tried(self):
        assert set(SENTENCES) == {topic.name for topic in TOPICS}

    @pytest.mark.parametrize("text", NOT_TOPICS)
    def test_what_has_nothing_to_do_with_it_is_not(self, text):
        assert name_of(text) is None

    def test_two_key_words_count_only_near_each_other(self):
        assert name_of("gym one two three food") == "health"
        assert name_of("gym " + "one two three four five " * 2 + "food") is None

    def test_the_topic_with_the_most_evidence_is_taken(self):
        assert name_of("i sleep badly and lie awake at night because of my job") == "sleep"
        assert name_of("my boss and my team at work keep me awake") == "work"

    def test_typed_text_is_read_like_a_transcript(self):
        assert words_of("I\u2019m NOT, well: so-so!") == ("i'm", "not", "well", "so", "so")

    def test_only_so_many_words_are_looked_at(self):
        assert name_of("word " * (MOST_WORDS - 3) + "i hate my job") is None
        assert name_of("word " * (MOST_WORDS - 4) + "i hate my job") == "work"


class TestAnswering:
    def test_a_second_mention_gets_another_line_and_so_on_without_the_first_one(self):
        responder = TopicResponder()
        first, second, third = ANSWERS["sleep"]
        replies = [responder.reply("i cannot sleep") for _ in range(5)]
        assert replies == [first, second, third, second, third]

    def test_topics_are_counted_apart(self):
        responder = TopicResponder()
        assert responder.reply("i cannot sleep") == ANSWERS["sleep"][0]
        assert responder.reply("i hate my job") == ANSWERS["work"][0]
        assert responder.reply("i lie awake") == ANSWERS["sleep"][1]

    def test_what_was_not_caught_is_said_so_and_the_ways_to_a_real_voice_come_first(self):
        responder = TopicResponder()
        replies = [responder.reply(text) for text in ("", "mumble", "conference", "")]
        assert replies == [*NOT_CAUGHT, NOT_CAUGHT[1]]

    def test_two_sessions_know_nothing_of_each_other(self):
        one, other = TopicResponder(), TopicResponder()
        assert one.reply("hello") == other.reply("hello") == ANSWERS["greeting"][0]

    def test_nothing_that_was_heard_is_repeated(self):
        assert "xylophone" not in TopicResponder().reply("my boss plays the xylophone")


@needs("human_recordings")
def test_no_topic_is_found_in_the_texts_of_prompts_that_are_about_something_else():
    """All of them as printed, from one word to a hundred."""
    texts = prompt_texts()
    assert len(texts) > 500
    assert {
        name: name_of(text) for name, text in texts.items() if name_of(text)
    } == SMALL_TALK_PROMPTS


@pytest.mark.slow
@needs("voice", "human_recordings", "ffmpeg")
async def test_no_topic_is_found_in_recordings_of_something_else():
    """Forty prompts through the real transcriber; a topic may be found only in small talk."""
    transcriber, found = PocketsphinxTranscriber(), {}
    waiting = iter(SAMPLE)

    async def listen() -> None:
        for name in waiting:
            pcm = await asyncio.to_thread(prompt, name)
            found[name] = name_of(await transcriber.transcribe(pcm))

    async with asyncio.TaskGroup() as group:
        group.create_task(listen())
        group.create_task(listen())
    await transcriber.aclose()
    assert len(found) == 40
    placed = {name: topic for name, topic in found.items() if topic}
    assert placed.items() <= SMALL_TALK_PROMPTS.items()
    assert {"hello", "priv-introsaved", "queue-thankyou"} <= placed.keys()


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
def test_small_talk_is_recognised(text, name):
    assert name_of(text) == name


@pytest.mark.parametrize("text", ["hi", "hey", "thanks", "bye", "help", "by", "you", "good", "oh"])
def test_what_the_recogniser_makes_of_single_letters_and_figures_is_not(text):
    """It hears "hi" in "I", "hey" in "K", "thanks" in "six"."""
    assert name_of(text) is None


def test_a_topic_goes_before_the_small_talk_around_it():
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

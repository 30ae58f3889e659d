"""The brain of the offline voice: a small coach who picks key words; pure and deterministic."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from relay.engines.offline.courtesies import COURTESIES, NOT_CAUGHT
from relay.engines.offline.topics import OPENERS, TOPICS, Topic

MOST_WORDS: Final = 200  # of one utterance; a person's turn of 30 s has about 80
NEARBY: Final = 8  # two key words this many words apart, or fewer, belong together

Phrase = tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class _Signs:
    """A topic's words, ready to be looked for."""

    topic: Topic
    key_of: dict[str, int]
    phrases: tuple[Phrase, ...]


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a transcript, or of typed text, in small letters."""
    return tuple(
        re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower().replace("\u2019", "'"))[:MOST_WORDS]
    )


class CoachBrain:
    """A `Brain` that knows the subjects of `topics.py` and `courtesies.py`.

    A topic is taken up on a distinctive phrase, on one of its key words right after an opener, or
    on two different key words near each other; never on one word alone, since the recogniser gets
    one word in four wrong. Everything else is answered "I did not catch that".
    """

    def __init__(self) -> None:
        self._answered: Counter[str] = Counter()

    def reply(self, heard: str) -> str:
        """Return the answer to what the recogniser heard, "" included."""
        topic = topic_of(heard)
        if topic is None:
            return self._next("", NOT_CAUGHT)
        return self._next(topic.name, topic.answers)

    def _next(self, name: str, answers: Sequence[str]) -> str:
        """Return the answers in turn, and from the second on again after the last."""
        turn = self._answered[name]
        self._answered[name] += 1
        return answers[turn if turn == 0 else 1 + (turn - 1) % (len(answers) - 1)]


def topic_of(heard: str) -> Topic | None:
    """Return what an utterance is about, None when that cannot be told."""
    words = words_of(heard)
    best, most = None, 0
    for signs in _signs(TOPICS):
        found = _evidence(words, signs)
        if found > most:
            best, most = signs.topic, found
    if best is not None:
        return best
    for signs in _signs(COURTESIES):
        if any(_starts(words, phrase) for phrase in signs.phrases):
            return signs.topic
    return None


def _evidence(words: Sequence[str], signs: _Signs) -> int:
    """Return how much speaks for a topic: 0 for too little."""
    phrases = sum(len(_starts(words, phrase)) for phrase in signs.phrases)
    keys = [(place, signs.key_of[word]) for place, word in enumerate(words) if word in signs.key_of]
    after_opener = {
        place + len(opener) for opener in _phrases(OPENERS) for place in _starts(words, opener)
    }
    opened = any(place in after_opener for place, _ in keys)
    paired = any(
        key != other and 0 < later - place <= NEARBY for place, key in keys for later, other in keys
    )
    if not (phrases or opened or paired):
        return 0
    return 2 * phrases + len({key for _, key in keys})


def _starts(words: Sequence[str], phrase: Phrase) -> list[int]:
    """Return the places where a phrase begins."""
    return [
        place
        for place in range(len(words) - len(phrase) + 1)
        if all(words[place + i] in alternatives for i, alternatives in enumerate(phrase))
    ]


@cache
def _signs(topics: tuple[Topic, ...]) -> tuple[_Signs, ...]:
    return tuple(
        _Signs(
            topic,
            {
                word: key
                for key, variants in enumerate(topic.keys.split(","))
                for word in variants.split()
            },
            _phrases(topic.phrases),
        )
        for topic in topics
    )


@cache
def _phrases(written: str) -> tuple[Phrase, ...]:
    return tuple(
        tuple(frozenset(word.split("|")) for word in phrase.split())
        for phrase in written.split(";")
        if phrase.strip()
    )

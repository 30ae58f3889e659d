"""The responder of the local voice: chooses a written answer, else asks the model behind it."""

import re
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import cache
from typing import Final

from relay.parts.answers import (
    ACTS,
    ANYTHING,
    NOT_CAUGHT,
    OPENERS,
    OPENING,
    QUESTIONED,
    STORY,
    TOPICS,
    Act,
    Topic,
)
from relay.parts.interfaces import (
    CallOutput,
    Message,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    Responder,
    probe,
)

MOST_WORDS: Final = 200  # of one utterance; a person's turn of 30 s has about 80
NEARBY: Final = 8  # two key words this many words apart, or fewer, belong together
FEW_WORDS: Final = 3  # of a whole utterance that is itself a key word, such as "my goals"
MORE_WORDS: Final = 2  # a "yes" or "stop" with more words after it says something else
STORY_WORDS: Final = 5  # shorter than that, nobody tells a story

Phrase = tuple[frozenset[str], ...]


class TopicResponder:
    """A `Responder` that knows `TOPICS` and `ACTS`, and asks `behind` about everything else.

    What was not understood ("") is answered here and never reaches `behind`. Out-of-band requests,
    outputs of functions and, where `behind` says `calls_tools`, requests with tools go to it as
    they are. Without one, a short neutral question follows what is on no topic.
    """

    def __init__(self, behind: Responder | None) -> None:
        self._behind = behind
        self._answered: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """Return the name of the model behind, or "topics"."""
        return self._behind.name if self._behind else "topics"

    async def probe(self) -> None:
        """Ask the responder behind; raises `PartFailed`."""
        if self._behind is not None:
            await probe(self._behind)

    async def respond(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece]:
        """Yield a written answer at once, or what the responder behind yields."""
        behind = self._behind
        written = None if behind and _is_for_model(request, behind) else self._written(request)
        if written is not None:
            yield ReplyDelta(written)
        elif behind is None:
            yield ReplyDelta(self._neutral(request.prompt))
        else:
            pieces = behind.respond(request)
            try:
                async for piece in pieces:
                    yield piece
            finally:
                if isinstance(pieces, AsyncGenerator):  # who leaves here leaves there, at once
                    await pieces.aclose()

    def _written(self, request: ReplyRequest) -> str | None:
        """Return the written answer, None when there is none for it."""
        text = request.prompt
        if not any(_asks(entry) for entry in request.history):
            return self._next("opening", OPENING)
        if not text.strip():
            return self._next("silence", NOT_CAUGHT)
        found = None if _is_output(request) else topic_of(text) or act_of(text)
        if found is not None and found.name == "repeat" and (said := _last_said(request)):
            return said
        return self._next(found.name, found.answers) if found else None

    def _neutral(self, text: str) -> str:
        """Return the answer to what is on no topic."""
        asked = "?" in text or not _QUESTIONS.isdisjoint(words_of(text)[:1])
        return self._next("question", QUESTIONED) if asked else self._next("", ANYTHING)

    def _next(self, name: str, answers: tuple[str, ...]) -> str:
        """Return the answers in turn; after the last, from the second on again."""
        turn = self._answered[name]
        self._answered[name] += 1
        return answers[turn if turn == 0 else 1 + (turn - 1) % (len(answers) - 1)]


def topic_of(text: str) -> Topic | None:
    """Return the topic of an utterance, None when that cannot be told."""
    words = words_of(text)
    best, most = None, 0
    for index in _indexes():
        found = _evidence(words, index)
        if found > most:
            best, most = index.topic, found
    return best


def act_of(text: str) -> Act | None:
    """Return the first of `ACTS` that the utterance is, or a story, None when it is neither."""
    words = words_of(text)
    for act in ACTS:
        if _is_act(words, act):
            return act
    return STORY if _is_story(words, text) else None


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a transcript, or of typed text, in lower case."""
    return tuple(
        re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower().replace("\u2019", "'"))[:MOST_WORDS]
    )


def _is_for_model(request: ReplyRequest, behind: Responder) -> bool:
    """Tell whether no written answer is looked for."""
    if request.out_of_band or _is_output(request):
        return True
    calls = bool(request.tools) and bool(getattr(behind, "calls_tools", False))
    return calls and bool(request.prompt.strip())


def _is_output(request: ReplyRequest) -> bool:
    return bool(request.history) and isinstance(request.history[-1], CallOutput)


def _asks(entry: object) -> bool:
    return isinstance(entry, CallOutput) or (isinstance(entry, Message) and entry.role == "user")


def _last_said(request: ReplyRequest) -> str:
    """Return the last answer as it was heard, "" before the first."""
    for entry in reversed(request.history):
        if isinstance(entry, Message) and entry.role == "assistant":
            return entry.text
    return ""


@dataclass(frozen=True, slots=True)
class _TopicIndex:
    """The words of a topic, prepared for matching."""

    topic: Topic
    key_of: dict[str, int]
    sure: frozenset[str]
    phrases: tuple[Phrase, ...]


def _evidence(words: tuple[str, ...], index: _TopicIndex) -> int:
    """Return the weight of the evidence for a topic, 0 for too little."""
    phrases = sum(len(_starts(words, phrase)) for phrase in index.phrases)
    keys = [(place, index.key_of[word]) for place, word in enumerate(words) if word in index.key_of]
    personal = not _SELF.isdisjoint(words)
    sure = len(index.sure.intersection(words))
    near = personal and (_opened(words, keys) or _paired(keys))
    if not (phrases or near or (sure and (personal or len(words) <= FEW_WORDS))):
        return 0
    return 2 * phrases + sure + len({key for _, key in keys})


def _opened(words: tuple[str, ...], keys: list[tuple[int, int]]) -> bool:
    """Tell whether a key word follows an opener."""
    after = {
        place + len(opener) for opener in _phrases(OPENERS) for place in _starts(words, opener)
    }
    return any(place in after for place, _ in keys)


def _paired(keys: list[tuple[int, int]]) -> bool:
    """Tell whether two different key words are near each other."""
    return any(
        key != other and 0 < later - place <= NEARBY for place, key in keys for later, other in keys
    )


def _is_act(words: tuple[str, ...], act: Act) -> bool:
    if not _words(act.unless).isdisjoint(words):
        return False
    whole = [p for p in _phrases(act.whole) if len(words) <= len(p) + MORE_WORDS]
    return any(_starts(words, phrase) for phrase in _phrases(act.phrases)) or any(
        _starts(words[: len(phrase)], phrase) for phrase in (*_phrases(act.start), *whole)
    )


def _is_story(words: tuple[str, ...], text: str) -> bool:
    """Tell whether somebody tells of others: a sentence about them alone that asks nothing."""
    told = len(words) >= STORY_WORDS and not _OTHERS.isdisjoint(words)
    return told and _PARTNERS.isdisjoint(words) and "?" not in text


def _starts(words: tuple[str, ...], phrase: Phrase) -> list[int]:
    """Return the indices at which a phrase begins."""
    return [
        place
        for place in range(len(words) - len(phrase) + 1)
        if all(words[place + i] in alternatives for i, alternatives in enumerate(phrase))
    ]


@cache
def _indexes() -> tuple[_TopicIndex, ...]:
    return tuple(
        _TopicIndex(
            topic,
            {
                word: key
                for key, variants in enumerate(topic.keys.split(","))
                for word in variants.split()
            },
            frozenset(topic.sure.split()),
            _phrases(topic.phrases),
        )
        for topic in TOPICS
    )


@cache
def _phrases(written: str) -> tuple[Phrase, ...]:
    return tuple(
        tuple(frozenset(word.split("|")) for word in phrase.split())
        for phrase in written.split(";")
        if phrase.strip()
    )


def _words(written: str) -> frozenset[str]:
    return frozenset(written.split())


_SELF = _words("i i'm i've i'd i'll my me myself we we're our us")
_QUESTIONS = _words("what who whose why how when where which is are do does did can could")
_OTHERS = _words("he she him her his hers they them their himself herself")
_PARTNERS = _SELF | _words("you your you're yours please")

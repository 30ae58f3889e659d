"""Extractive summary: the sentences with the most frequent words, and the figures of a call."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from relay.realtime.records import Record

MOST_POINTS: Final = 8
"""Topics, action items or goals of one summary; the transcript has the rest."""
Who = Literal["learner", "model", "coach"]

SENTENCES: Final = 4
"""Chosen from a conversation."""
FEWEST_WORDS: Final = 3
"""Content words of a sentence that may be chosen."""
TOPICS: Final = 5
ONCE: Final = 2
"""The weight of a word that the learner said once."""
LONGEST: Final = 240
"""Characters of one sentence in a summary; longer ones are cut and end in an ellipsis."""
_NAMES: Final[dict[Who, str]] = {"learner": "Learner", "model": "Voice", "coach": "Coach"}


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """The text and lists of a summary, by a model or by `extract`."""

    text: str
    main_topics: list[str] = []
    action_items: list[str] = []
    next_week_goals: list[str] = []


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """One utterance, as far as it was heard."""

    who: Who
    text: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of a conversation; `duration` in whole seconds."""

    duration: int
    total_interactions: int
    ai_responses: int
    coach_interventions: int


def lines_of(said: Sequence[Record]) -> list[SpokenLine]:
    """What was heard, in the order of `said`, without answers of which nothing was heard."""
    lines = []
    for record in said:
        utterance = record.utterance
        by_user = utterance.role == "user"
        text = (utterance.text if by_user else utterance.heard_text).strip()
        if text:
            who: Who = "learner" if by_user else "model" if utterance.coach_id is None else "coach"
            lines.append(SpokenLine(who, text))
    return lines


def figures_of(said: Sequence[Record]) -> Figures:
    """Count; the duration is that of the sessions, without the time between them."""
    lines = lines_of(said)
    return Figures(
        duration=round(sum(_lengths(said).values())),
        total_interactions=len(lines),
        ai_responses=sum(line.who == "model" for line in lines),
        coach_interventions=sum(line.who == "coach" for line in lines),
    )


def _lengths(said: Sequence[Record]) -> dict[str, float]:
    """Seconds from each session's start to the end of its last utterance."""
    lengths: dict[str, float] = {}
    for record in said:
        head, utterance = record.head, record.utterance
        heard = utterance.heard_ms if utterance.heard_ms is not None else utterance.audio_ms
        over = utterance.created_at + (heard or 0) / 1000
        known = lengths.get(head.session_id, 0.0)
        lengths[head.session_id] = max(known, over - head.started_at)
    return lengths


@dataclass(frozen=True, slots=True)
class _Sentence:
    place: int
    who: Who
    text: str
    words: tuple[str, ...]


def extract(lines: Sequence[SpokenLine]) -> Points:
    """The sentences of the most frequent words, in the order in which they were said."""
    said = [
        _Sentence(place, who, text, tuple(content_words(text)))
        for place, (who, text) in enumerate(
            (line.who, text) for line in lines for text in sentences(line.text)
        )
    ]
    weight = _weights(said)
    return Points(
        text=" ".join(f"{_NAMES[one.who]}: {_cut(one.text)}" for one in _chosen(said, weight)),
        main_topics=_topics(weight),
        action_items=_distinct(one for one in said if is_promise(one.text)),
        next_week_goals=_distinct(
            one
            for one in said
            if one.who != "model" and is_wish(one.text) and not is_promise(one.text)
        ),
    )


def _weights(said: Sequence[_Sentence]) -> Counter[str]:
    """The number of sentences with each word.

    What a learner or a coach says counts twice: it is their conversation, and the model repeats it.
    """
    weight: Counter[str] = Counter()
    for one in said:
        for word in sorted(set(one.words)):
            weight[word] += 1 if one.who == "model" else 2
    return weight


def _topics(weight: Counter[str]) -> list[str]:
    """Repeated words, the most frequent first, then in the order of the alphabet."""
    repeated = [(word, count) for word, count in weight.items() if count > ONCE]
    ranked = sorted(repeated or weight.items(), key=lambda pair: (-pair[1], pair[0]))
    return [word for word, _ in ranked[:TOPICS]]


def _chosen(said: Sequence[_Sentence], weight: Counter[str]) -> list[_Sentence]:
    """The heaviest for their length; each must add a word that the ones before do not have."""
    full = [one for one in said if len(set(one.words)) >= FEWEST_WORDS] or list(said)
    ranked = sorted(full, key=lambda one: (-_score(one, weight), one.place))
    chosen: list[_Sentence] = []
    known: set[str] = set()
    for one in ranked:
        if len(chosen) < SENTENCES and (not chosen or set(one.words) - known):
            chosen.append(one)
            known |= set(one.words)
    return sorted(chosen, key=lambda one: one.place)


def _score(one: _Sentence, weight: Counter[str]) -> float:
    words = set(one.words)
    return sum(weight[word] for word in words) / (len(words) + 2) if words else 0.0


def _distinct(found: Iterable[_Sentence]) -> list[str]:
    texts: dict[str, str] = {}
    for one in found:
        texts.setdefault(one.text.lower(), _cut(one.text))
    return list(texts.values())[:MOST_POINTS]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 2].rstrip() + " …"


# ------------------------------------------- English: sentences, content words, promises and wishes

_SENTENCE: Final = re.compile(r"[^.!?…\n]+[.!?…]*")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_COMMON: Final = """
    a about actually after again all also always am an and any anything are around as ask at away
    back be because been before being both but by came can could did do does doing done down each
    even ever every everything few fine for from get getting give go going gone good got great had
    has have having he hello her here hey hi him his how i if in into is it its just keep kind know
    last let like little long look lot made make many may maybe me mean might mine more most much
    must my need never new next nice no not nothing now of off oh ok okay on one only or other our
    out over own people please put quite rather really right said same say see seem she should
    since so some something sometimes soon sorry still such sure take talk tell than thank thanks
    that the their them then there these they thing things think this those though thought through
    time to today together told tomorrow too try trying two under until up us very want wanted was
    way we well went were what when where which while who why will with without word words work
    would yeah yes yesterday yet you your hear heard feel felt day days week weeks help start stop
"""
"""Words of every conversation."""
_STOP: Final = frozenset(_COMMON.split())
_APOSTROPHE: Final = "\u2019"
_CLITIC: Final = re.compile(r"(?:n't|'(?:s|m|re|ve|ll|d))$")
_PROMISE: Final = re.compile(
    r"\b(?:(?:i|we)(?:'ll| will| am going to|'m going to| are going to|'re going to"
    r"| promise to)|let's|you(?:'ll| will)(?! be able\b))\s+(?!see\b|know\b|have to think\b)",
    re.IGNORECASE,
)
_WISH: Final = re.compile(
    r"\b(?:my (?:next )?goal|goals? (?:is|for|are)|i (?:want|would like|hope|plan|aim) to|i'd"
    r" like to|by (?:next|the end of)|next (?:week|time|month)|this week|until (?:next|monday"
    r"|tuesday|wednesday|thursday|friday|saturday|sunday))\b",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, with white space collapsed."""
    found = (" ".join(match.group().split()) for match in _SENTENCE.finditer(text))
    return [sentence for sentence in found if _WORD.search(sentence)]


def content_words(text: str) -> list[str]:
    """The words of a text in lower case and in order, without common ones."""
    words = (_CLITIC.sub("", word.lower()) for word in _WORD.findall(_plain(text)))
    return [word for word in words if len(word) > 2 and word not in _STOP]


def is_promise(sentence: str) -> bool:
    """Whether the speaker says that something will be done; a question does not."""
    return not sentence.endswith("?") and _PROMISE.search(_plain(sentence)) is not None


def is_wish(sentence: str) -> bool:
    """Whether the speaker says what they want to reach; a question does not."""
    return not sentence.endswith("?") and _WISH.search(_plain(sentence)) is not None


def _plain(text: str) -> str:
    return text.replace(_APOSTROPHE, "'")

"""A summary that only chooses: the sentences whose words came most often; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.summary.lines import Line, Who
from relay.summary.shapes import MOST_POINTS, Points
from relay.summary.words import content_words, is_promise, is_wish, sentences

SENTENCES: Final = 4
"""Sentences that are chosen of a conversation."""
FEWEST_WORDS: Final = 3
"""Content words that a sentence must have to be chosen."""
TOPICS: Final = 5
ONCE: Final = 2
"""The weight of a word that the learner said once."""
LONGEST: Final = 240
"""Characters of one sentence in a summary; longer ones are cut, and say so."""
_NAMES: Final[dict[Who, str]] = {"learner": "Learner", "model": "Voice", "coach": "Coach"}


@dataclass(frozen=True, slots=True)
class _Sentence:
    place: int
    who: Who
    text: str
    words: tuple[str, ...]


def extract(lines: Sequence[Line]) -> Points:
    """What the words themselves say is important, in the order in which it was said."""
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
    """How many sentences have each word: one that is repeated in one breath counts once.

    What the learner says counts twice: it is their conversation, and the model repeats it.
    """
    weight: Counter[str] = Counter()
    for one in said:
        for word in sorted(set(one.words)):
            weight[word] += 1 if one.who == "model" else 2
    return weight


def _topics(weight: Counter[str]) -> list[str]:
    """Words that came back, the most frequent first; of equals the first in the alphabet."""
    repeated = [(word, count) for word, count in weight.items() if count > ONCE]
    ranked = sorted(repeated or weight.items(), key=lambda pair: (-pair[1], pair[0]))
    return [word for word, _ in ranked[:TOPICS]]


def _chosen(said: Sequence[_Sentence], weight: Counter[str]) -> list[_Sentence]:
    """The heaviest for their length; each must bring a word that those before did not have."""
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

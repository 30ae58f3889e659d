"""Cuts documents into chunks at headings, paragraphs and sentences, and questions into terms."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

CHUNK: Final = 700
"""Characters of a chunk, about: a paragraph or two, so that five of them fit any model."""
LONGEST: Final = 1_400
"""Characters of a chunk; a longer paragraph is cut between its sentences, else between words."""
MAX_TERMS: Final = 24
"""Words of a question that are looked for; later ones are not."""

_HEADING: Final = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
_STOP: Final = """
    a about above after again all along also am an and any anybody anyone anything are as at be
    because been before being below between both but by can cannot could did do does doing done
    down during each either else ever every everybody everyone few find for from further get
    gets give go goes going got had happen happens has have having he her here hers him his how
    however i if in into is it its itself just kind know let like long look made make makes
    many may me might mine more most much must my need needs never no nor not now of off often
    on once one only onto or other our ours out over own please put same say see shall she
    should so some somebody someone something somewhere soon still such sure take tell than
    that the their them then there these they thing things this those through to too toward
    under until up upon us use used uses using very want wants was way ways we were what when
    where whether which while who whom whose why will with within without work works would yes
    yet you your yours
"""
STOP_WORDS: Final = frozenset(_STOP.split())
"""English words that say nothing of what a question is about."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: the headings above it, its text, and its number from 0."""

    heading: str
    text: str
    position: int


def cut(text: str) -> list[Chunk]:
    """The chunks of a text or Markdown document."""
    pieces = [(heading, piece) for heading, body in _sections(text) for piece in _pieces(body)]
    return [Chunk(heading, piece, at) for at, (heading, piece) in enumerate(pieces)]


def terms(question: str) -> list[str]:
    """The words of a question that may tell what it is about, each once, in lower case."""
    words = (
        word.replace("\u2019", "'").removesuffix("'s") for word in _WORD.findall(question.lower())
    )
    found = dict.fromkeys(word for word in words if word not in STOP_WORDS and len(word) > 1)
    return list(found)[:MAX_TERMS]


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Each heading with those above it, and what stands below it."""
    path: list[str] = []
    body: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        found = _HEADING.match(line)
        if found is None:
            body.append(line)
            continue
        yield " / ".join(path), "\n".join(body)
        level = len(found[1])
        path, body = [*path[: level - 1], found[2]], []
    yield " / ".join(path), "\n".join(body)


def _pieces(body: str) -> Iterator[str]:
    """Paragraphs, short ones joined and long ones cut."""
    gathered = ""
    for paragraph in filter(str.strip, re.split(r"\n\s*\n", body)):
        for part in _parts(" ".join(paragraph.split())):
            if gathered and len(gathered) + len(part) > CHUNK:
                yield gathered
                gathered = ""
            gathered = f"{gathered}\n{part}" if gathered else part
    if gathered:
        yield gathered


def _parts(paragraph: str) -> Iterator[str]:
    if len(paragraph) <= LONGEST:
        yield paragraph
        return
    gathered = ""
    for sentence in _SENTENCE.split(paragraph):
        for start in range(0, len(sentence), LONGEST):  # a sentence without an end
            part = sentence[start : start + LONGEST]
            if gathered and len(gathered) + len(part) > CHUNK:
                yield gathered
                gathered = ""
            gathered = f"{gathered} {part}".strip()
    if gathered:
        yield gathered

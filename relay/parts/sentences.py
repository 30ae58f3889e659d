"""Finds sentences: where a text that is still being written can be spoken, and where one ends."""

import re
from typing import Final

LONG_SENTENCE: Final = 48
"""Characters from which on the first sentence of an answer is spoken clause by clause."""

SHORTEST_CLAUSE: Final = 16
"""Characters of the shortest clause that is spoken on its own."""

LONGEST_PIECE: Final = 400
"""Characters after which a text without any punctuation is cut at a space."""

_END = re.compile(r"""[.!?\u2026]+["'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+|(?<=\S)(?=\n)""")
_CLAUSE_END = re.compile(r"[,;:\u2013\u2014](?=\s)")
_ABBREVIATION = re.compile(
    r"(?:^|\s)(?:[A-Za-z]|mr|mrs|ms|dr|prof|st|vs|no|etc|approx|e\.g|i\.e|u\.s)\.$",
    re.IGNORECASE,
)
_UNFINISHED_WORDS = frozenset(
    word
    for words in (
        "a an the i my our their your",
        "and because but if than until very whether which while",
        "at by for from into of to with without",
        "er uh um",
    )
    for word in words.split()
)
_LAST_WORD = re.compile(r"([\w'\u2019]+)\W*$")


class SentenceSplitter:
    """Cuts a text into pieces to speak; joined they are the text again.

    A piece is a sentence with the space before it; the first one may be a clause, so that the voice
    begins soon.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Take more of the text; return the pieces that it completed."""
        self._rest += text
        pieces: list[str] = []
        while (end := self._piece_end()) > 0:
            pieces.append(self._rest[:end])
            self._rest = self._rest[end:]
            self._first = False
        return pieces

    def flush(self) -> str:
        """Return what is left once the text is complete, "" for nothing."""
        rest, self._rest = self._rest, ""
        return rest

    def _piece_end(self) -> int:
        end = self._sentence_end()
        if self._first and (end or len(self._rest)) >= LONG_SENTENCE:
            end = self._clause_end(end or len(self._rest)) or end
        if (end == 0 and len(self._rest) > LONGEST_PIECE) or end > LONGEST_PIECE:
            space = self._rest.rfind(" ", 1, LONGEST_PIECE)
            end = space if space > 0 else LONGEST_PIECE
        return end

    def _sentence_end(self) -> int:
        ends = (found.end() for found in _END.finditer(self._rest))
        return next((end for end in ends if not self._abbreviates(end)), 0)

    def _clause_end(self, before: int) -> int:
        clauses = _CLAUSE_END.finditer(self._rest, 0, before)
        return next((one.end() for one in clauses if one.start() >= SHORTEST_CLAUSE), 0)

    def _abbreviates(self, end: int) -> bool:
        return _ABBREVIATION.search(self._rest[:end]) is not None


def looks_finished(transcript: str) -> bool:
    """Tell whether somebody who said this and fell silent is likely to be done.

    A transcript that ends in a comma, a dash or dots, or in a word that asks for another, is not
    finished. One without words is: nothing more is to be expected of it.
    """
    text = transcript.strip()
    if not text:
        return True
    if text.endswith((",", ";", ":", "-", "\u2013", "\u2014", "...", "\u2026")):
        return False
    if text.endswith(("?", "!")):
        return True
    last = _LAST_WORD.search(text)
    return last is None or last[1].lower() not in _UNFINISHED_WORDS

"""Keeps from the voice what a model writes to itself: its thoughts, and calls written as text."""

from typing import Final

MAX_CALLS: Final = 16
"""Calls written as text that are kept; later ones of the same answer are dropped."""
MAX_CALL_CHARACTERS: Final = 64 * 1024
"""Of one of them; a longer one is dropped."""

_HIDDEN: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<tool_call>": "</tool_call>",
}
_TAGS: Final = (*_HIDDEN, *_HIDDEN.values())
_LONGEST: Final = max(map(len, _TAGS))


class SpokenText:
    """Takes the deltas of an answer and returns what of them is to be said.

    A tag may come in pieces, so up to a tag's length is kept back until the next delta. A closing
    tag without an opening one is dropped, too: some chat templates write the opening one.
    `calls` are the texts between `<tool_call>` and its end.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._rest = ""
        self._closing = ""
        self._hidden = ""
        self._begun = False

    def feed(self, delta: str) -> str:
        """Return the text to say now, "" for none yet."""
        self._rest += delta
        said = ""
        while (piece := self._next()) is not None:
            said += piece
        return self._trimmed(said)

    def end(self) -> str:
        """Return what was kept back; of an unclosed tag nothing."""
        rest, self._rest = self._rest, ""
        return "" if self._closing else self._trimmed(rest)

    def _next(self) -> str | None:
        """Take the next piece off the rest; None when more has to come first."""
        tags = (self._closing,) if self._closing else _TAGS
        places = [(self._rest.find(tag), tag) for tag in tags]
        found = min((place for place in places if place[0] >= 0), default=None)
        if found is None:
            keep = _tail(self._rest, tags)
            piece, self._rest = (
                self._rest[: len(self._rest) - keep],
                self._rest[-keep:] * (keep > 0),
            )
            return self._passed(piece) or None
        piece, self._rest = self._rest[: found[0]], self._rest[found[0] + len(found[1]) :]
        said = self._passed(piece)
        self._switch(found[1])
        return said

    def _passed(self, piece: str) -> str:
        """Return text that is said; keep text that is a call, drop thoughts."""
        if not self._closing:
            return piece
        if self._closing == "</tool_call>":
            self._hidden = (self._hidden + piece)[: MAX_CALL_CHARACTERS + 1]
        return ""

    def _switch(self, tag: str) -> None:
        if 0 < len(self._hidden) <= MAX_CALL_CHARACTERS and len(self.calls) < MAX_CALLS:
            self.calls.append(self._hidden)
        self._hidden = ""
        self._closing = _HIDDEN.get(tag, "")

    def _trimmed(self, text: str) -> str:
        """Return the text without the blank lines that stand between thoughts and the answer."""
        if self._begun:
            return text
        text = text.lstrip()
        self._begun = bool(text)
        return text


def _tail(text: str, tags: tuple[str, ...]) -> int:
    """Return how many characters at the end may be the beginning of a tag."""
    for length in range(min(len(text), _LONGEST - 1), 0, -1):
        if any(tag.startswith(text[-length:]) for tag in tags):
            return length
    return 0

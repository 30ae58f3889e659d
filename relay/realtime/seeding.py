"""What an engine is told of a conversation that goes on in a new session (S3-52); pure."""

from collections.abc import Sequence
from typing import Any, Final

from relay.realtime.utterance import Record, Utterance

MAX_TURNS: Final = 100
"""Utterances that are told again, the latest; an hour of talk is some two hundred."""
MAX_CHARACTERS: Final = 32_000
"""Of all of them together: some 8,000 tokens, which every answer pays for again."""


def seeded(records: Sequence[Record]) -> tuple[dict[str, Any], ...]:
    """Message items of what was said and heard, oldest first, within the bounds."""
    items: list[dict[str, Any]] = []
    characters = 0
    for record in reversed(records[-MAX_TURNS:]):
        text = _heard(record.utterance)
        characters += len(text)
        if characters > MAX_CHARACTERS:
            break
        if text:
            items.append(_item(record.utterance, text))
    return tuple(reversed(items))


def _heard(said: Utterance) -> str:
    """A learner's words, and of an answer what reached the learner: that alone was said."""
    return said.text if said.role == "user" else said.heard_text


def _item(said: Utterance, text: str) -> dict[str, Any]:
    kind = "input_text" if said.role == "user" else "output_text"
    return {"type": "message", "role": said.role, "content": [{"type": kind, "text": text}]}

"""Splits text into pieces about as long as a model's tokens, to stream and to count it."""

import re

_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")


def tokens(text: str) -> list[str]:
    """Return the pieces of a text; joined they are the text."""
    return _TOKEN.findall(text)

"""How much of an answer was heard."""

import pytest

from relay.realtime.playout import heard_text

TEXT = "one two three four five"


@pytest.mark.parametrize(
    ("heard_ms", "audio_ms", "text"),
    [
        (None, 1000, TEXT),
        (None, 0, TEXT),
        (0, 1000, ""),
        (1000, 1000, TEXT),
        (5000, 1000, TEXT),
        (500, 1000, "one two"),
        (100, 1000, ""),
        (300, 0, "one"),
        (700, 0, "one two"),
        (5000, 0, TEXT),
        (-5, 1000, ""),
    ],
)
def test_whole_words_that_fit(heard_ms: int | None, audio_ms: int, text: str) -> None:
    assert heard_text(TEXT, heard_ms, audio_ms) == text

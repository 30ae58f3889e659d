"""How much of an answer was heard, as text."""

from typing import Final

MS_PER_CHARACTER: Final = 65  # of speech, where the sound itself went another way (WIRE §2)


def heard_text(text: str, heard_ms: int | None, audio_ms: int) -> str:
    """The whole words of `text` that fit in `heard_ms` of its `audio_ms`; all when not cut.

    Speech has no aligned text on this wire, so this goes by ratio (PROTOCOL §5.4). `audio_ms` 0
    means that no sound came this way, and then its length is guessed from the text.
    """
    if heard_ms is None:
        return text
    length = audio_ms or len(text) * MS_PER_CHARACTER
    if heard_ms >= length:
        return text
    end = max(0, round(len(text) * heard_ms / length))
    if not text[end : end + 1].isspace():
        end = text.rfind(" ", 0, end) + 1
    return text[:end].rstrip()

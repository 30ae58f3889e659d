"""How much of an answer was heard, as text."""


def heard_text(text: str, heard_ms: int | None, audio_ms: int) -> str:
    """The whole words of `text` that fit in `heard_ms` of its `audio_ms`; all when unknown.

    Speech has no aligned text on this wire, so this goes by ratio (PROTOCOL §5.4).
    """
    if heard_ms is None:
        return text
    if heard_ms <= 0:
        return ""
    if heard_ms >= audio_ms:
        return text
    end = round(len(text) * heard_ms / audio_ms)
    if end < len(text) and not text[end].isspace():
        end = text.rfind(" ", 0, end) + 1
    return text[:end].rstrip()

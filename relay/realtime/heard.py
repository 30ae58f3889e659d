"""How much of an answer was heard, as text."""


def heard_text(text: str, heard_ms: int | None, audio_ms: int) -> str:
    """The words of `text` that fit in `heard_ms` of `audio_ms`; all of it when neither is known.

    Speech has no aligned text on this wire, so this is by ratio and ends at a whole word
    (PROTOCOL §5.4).
    """
    if heard_ms is None or audio_ms <= 0 or heard_ms >= audio_ms:
        return text if heard_ms is None or heard_ms > 0 or audio_ms > 0 else ""
    if heard_ms <= 0:
        return ""
    end = round(len(text) * heard_ms / audio_ms)
    if end < len(text) and not text[end].isspace():
        end = text.rfind(" ", 0, end) + 1
    return text[:end].rstrip()

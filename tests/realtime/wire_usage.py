"""Builders for events that carry usage, in the shapes recorded on the wire."""

from typing import Any

Event = dict[str, Any]


def response_usage(
    *,
    text: tuple[int, int] = (0, 0),
    audio: tuple[int, int] = (0, 0),
    image: tuple[int, int] = (0, 0),
    out: tuple[int, int] = (0, 0),
    reasoning: int | None = None,
) -> Event:
    """The `usage` of a response: (all, cached) a kind of input, (text, audio) put out."""
    thought = {} if reasoning is None else {"reasoning_tokens": reasoning}
    taken = text[0] + audio[0] + image[0]
    return {
        "total_tokens": taken + sum(out),
        "input_tokens": taken,
        "output_tokens": sum(out),
        "input_token_details": {
            "text_tokens": text[0],
            "audio_tokens": audio[0],
            "image_tokens": image[0],
            "cached_tokens": text[1] + audio[1] + image[1],
            "cached_tokens_details": {
                "text_tokens": text[1],
                "audio_tokens": audio[1],
                "image_tokens": image[1],
            },
        },
        "output_token_details": {"text_tokens": out[0], "audio_tokens": out[1], **thought},
    }


def parts_usage(*parts: Event) -> Event:
    """The `usage` of an engine that is made of parts: theirs beside the session's own."""
    return {**response_usage(audio=(100, 0), out=(10, 50)), "seconds": 9, "parts": list(parts)}


def response_done(response: str, usage: Event | None, status: str = "completed") -> Event:
    given = {"id": response, "status": status, "conversation_id": "conv_1", "usage": usage}
    return {"type": "response.done", "response": given}


def transcribed(item: str, usage: Event | None, **more: Any) -> Event:
    kind = "conversation.item.input_audio_transcription.completed"
    said = {"item_id": item, "content_index": 0, "transcript": "Hello."}
    return {"type": kind, **said, "usage": usage, **more}


def lasted(seconds: float) -> Event:
    return {"type": "duration", "seconds": seconds}


def session(kind: str, model: str, heard_by: str | None) -> Event:
    transcription = {"model": heard_by} if heard_by else None
    audio = {"input": {"transcription": transcription}}
    return {"type": f"session.{kind}", "session": {"model": model, "audio": audio}}

"""GA server events as they are recorded on the wire, in few words, for the tests of the rules."""

from typing import Any

Event = dict[str, Any]


def speech_started(item: str) -> Event:
    return {"type": "input_audio_buffer.speech_started", "item_id": item, "audio_start_ms": 0}


def committed(item: str, previous: str | None) -> Event:
    return {"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": previous}


def item(kind: str, given: Event, previous: str | None) -> Event:
    return {"type": f"conversation.item.{kind}", "previous_item_id": previous, "item": given}


def message(item_id: str, role: str, *content: Event, status: str = "completed") -> Event:
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": role,
        "content": list(content),
    }


def spoken_turn(item_id: str, previous: str | None) -> list[Event]:
    """The learner speaks; no words yet (PROTOCOL §4.1)."""
    user = message(item_id, "user", {"type": "input_audio", "transcript": None})
    return [
        speech_started(item_id),
        {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": 900},
        committed(item_id, previous),
        item("added", user, previous),
        item("done", user, previous),
    ]


def heard(item_id: str, text: str, **more: Any) -> Event:
    kind = "conversation.item.input_audio_transcription.completed"
    return {"type": kind, "item_id": item_id, "content_index": 0, "transcript": text, **more}


def heard_delta(item_id: str, text: str) -> Event:
    kind = "conversation.item.input_audio_transcription.delta"
    return {"type": kind, "item_id": item_id, "content_index": 0, "delta": text}


def not_heard(item_id: str) -> Event:
    kind = "conversation.item.input_audio_transcription.failed"
    error = {"type": "server_error", "code": None, "message": "No.", "param": None}
    return {"type": kind, "item_id": item_id, "content_index": 0, "error": error}


def response_created(response: str, conversation: str | None = "conv_1") -> Event:
    given: Event = {
        "id": response,
        "status": "in_progress",
        "output": [],
        "conversation_id": conversation,
    }
    return {"type": "response.created", "response": given}


def answer(
    item_id: str, text: str, previous: str | None, *, response: str = "resp_1", cut: bool = False
) -> list[Event]:
    """The model answers in audio; with `cut`, it was interrupted (PROTOCOL §4.1, §4.4)."""
    ids = {"response_id": response, "item_id": item_id, "output_index": 0, "content_index": 0}
    part = {"type": "audio", "transcript": text}
    status = "incomplete" if cut else "completed"
    whole = message(
        item_id, "assistant", {"type": "output_audio", "transcript": text}, status=status
    )
    began = message(item_id, "assistant", status="in_progress")
    done = {
        "id": response,
        "status": "cancelled" if cut else "completed",
        "conversation_id": "conv_1",
        "output": [whole],
    }
    return [
        response_created(response),
        {"type": "response.output_item.added", "response_id": response, "item": began},
        item("added", began, previous),
        {"type": "response.content_part.added", **ids, "part": {"type": "audio", "transcript": ""}},
        *(
            {"type": "response.output_audio_transcript.delta", **ids, "delta": d}
            for d in _words(text)
        ),
        {"type": "response.output_audio.done", **ids},
        {"type": "response.output_audio_transcript.done", **ids, "transcript": text},
        {"type": "response.content_part.done", **ids, "part": part},
        item("done", whole, None),
        {"type": "response.output_item.done", "response_id": response, "item": whole},
        {"type": "response.done", "response": done},
    ]


def _words(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def typed(item_id: str, text: str, previous: str | None, role: str = "user") -> list[Event]:
    kind = "input_text" if role == "user" else "output_text"
    given = message(item_id, role, {"type": kind, "text": text})
    return [item("added", given, previous), item("done", given, previous)]

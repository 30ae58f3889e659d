"""What a client may send: the GA client events, their shapes, and the fields it may not set."""

from typing import Any, Final

from relay.realtime.events import BadEvent, Event
from relay.realtime.grant import Grant

_EVENT_ID_CHARACTERS = 512  # OpenAI's own bound

# Every GA client event with the fields it cannot do without (PROTOCOL §1a).
REQUIRED: Final[dict[str, dict[str, type]]] = {
    "session.update": {"session": dict},
    "input_audio_buffer.append": {"audio": str},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "conversation.item.create": {"item": dict},
    "conversation.item.retrieve": {"item_id": str},
    "conversation.item.truncate": {"item_id": str, "content_index": int, "audio_end_ms": int},
    "conversation.item.delete": {"item_id": str},
    "response.create": {},
    "response.cancel": {},
    "output_audio_buffer.clear": {},
}

_OPTIONAL: Final[dict[str, dict[str, type]]] = {
    "conversation.item.create": {"previous_item_id": str},
    "response.create": {"response": dict},
    "response.cancel": {"response_id": str},
}

_PLAIN_FIELDS: Final = ("model", "instructions", "tools")
_WORDS = {dict: "an object", str: "a string", int: "an integer"}


def check(event: Event) -> None:
    """Raise BadEvent unless this is one of the client events in its shape."""
    kind, event_id = event["type"], event.get("event_id")
    if isinstance(event_id, str) and len(event_id) > _EVENT_ID_CHARACTERS:
        raise BadEvent(
            f"Invalid 'event_id': longer than {_EVENT_ID_CHARACTERS} characters.",
            code="string_above_max_length",
            param="event_id",
        )
    if kind not in REQUIRED:
        names = ", ".join(f"'{name}'" for name in REQUIRED)
        raise BadEvent(
            f"Invalid value for 'type'. Supported values are: {names}.",
            code="invalid_value",
            param="type",
            event_id=event_id,
        )
    for name, shape in REQUIRED[kind].items():
        if name not in event:
            raise BadEvent(
                f"Missing required parameter: '{name}'.",
                code="missing_required_parameter",
                param=name,
                event_id=event_id,
            )
        _require(event, name, shape)
    for name, shape in _OPTIONAL.get(kind, {}).items():
        if event.get(name) is not None:
            _require(event, name, shape)
    if kind == "conversation.item.create" and not isinstance(event["item"].get("type"), str):
        raise BadEvent(
            "Missing required parameter: 'item.type'.",
            code="missing_required_parameter",
            param="item.type",
            event_id=event_id,
        )


def _require(event: Event, name: str, shape: type) -> None:
    value = event[name]
    if isinstance(value, shape) and not (shape is int and isinstance(value, bool)):
        return
    raise BadEvent(
        f"Invalid type for '{name}': expected {_WORDS[shape]}.",
        code="invalid_type",
        param=name,
        event_id=event.get("event_id"),
    )


def apply(event: Event, grant: Grant, transcription: dict[str, Any]) -> tuple[Event, list[str]]:
    """The event as it may go up, and the names of the fields that were taken out of it.

    Locked fields are the server's in `session.update` and `response.create`; input transcription
    cannot be switched off, or there would be no transcript (PROTOCOL §5.10).
    """
    if event["type"] == "session.update":
        session, removed = _unlocked(event["session"], grant)
        return {**event, "session": _transcribed(session, transcription)}, removed
    if event["type"] == "response.create" and isinstance(event.get("response"), dict):
        response, removed = _unlocked(event["response"], grant)
        return {**event, "response": response}, removed
    return event, []


def _unlocked(fields: dict[str, Any], grant: Grant) -> tuple[dict[str, Any], list[str]]:
    locked = grant.locked
    removed: list[str] = [name for name in _PLAIN_FIELDS if name in locked and name in fields]
    kept = {name: value for name, value in fields.items() if name not in removed}
    if "voice" not in locked:
        return kept, removed
    if "voice" in kept:
        kept.pop("voice")
        removed.append("voice")
    audio = kept.get("audio")
    if (
        isinstance(audio, dict)
        and isinstance(audio.get("output"), dict)
        and "voice" in audio["output"]
    ):
        output = {name: value for name, value in audio["output"].items() if name != "voice"}
        kept["audio"] = {**audio, "output": output}
        removed.append("audio.output.voice")
    return kept, removed


def _transcribed(session: dict[str, Any], transcription: dict[str, Any]) -> dict[str, Any]:
    audio = session.get("audio")
    if not isinstance(audio, dict):
        return session
    given = audio.get("input")
    if not isinstance(given, dict) or given.get("transcription", transcription):
        return session
    return {**session, "audio": {**audio, "input": {**given, "transcription": transcription}}}

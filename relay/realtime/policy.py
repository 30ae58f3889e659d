"""What a client may send: the GA client events, their shapes, and the fields it may not set."""

from typing import Any, Final

from relay.realtime import locks
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

# Objects within these events: null or an object, or nobody could tell what is set in them.
_OBJECTS: Final = {
    "session.update": (
        ("session", "audio"),
        ("session", "audio", "input"),
        ("session", "audio", "output"),
    ),
    "response.create": (("response", "audio"), ("response", "audio", "output")),
}

_NOTHING_LOCKED: Final = frozenset({"model"})
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
    _check_fields(event, kind)
    if kind == "conversation.item.create" and not isinstance(event["item"].get("type"), str):
        raise _missing(event, "item.type")


def _check_fields(event: Event, kind: str) -> None:
    for name, shape in REQUIRED[kind].items():
        if name not in event:
            raise _missing(event, name)
        _require(event, name, shape)
    for name, shape in _OPTIONAL.get(kind, {}).items():
        if event.get(name) is not None:
            _require(event, name, shape)
    for path in _OBJECTS.get(kind, ()):
        _require_object(event, path)


def _missing(event: Event, name: str) -> BadEvent:
    return BadEvent(
        f"Missing required parameter: '{name}'.",
        code="missing_required_parameter",
        param=name,
        event_id=event.get("event_id"),
    )


def _require(event: Event, name: str, shape: type) -> None:
    value = event[name]
    if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise _wrong(event, name, _WORDS[shape])


def _require_object(event: Event, path: tuple[str, ...]) -> None:
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is not None and not isinstance(value, dict):
        raise _wrong(event, ".".join(path), _WORDS[dict])


def _wrong(event: Event, name: str, what: str) -> BadEvent:
    return BadEvent(
        f"Invalid type for '{name}': expected {what}.",
        code="invalid_type",
        param=name,
        event_id=event.get("event_id"),
    )


def apply(event: Event, grant: Grant, transcription: dict[str, Any]) -> tuple[Event, list[str]]:
    """The event as it may go up, and the names of the fields that were taken out of it.

    What a grant locks is the server's in `session.update` and `response.create`; input
    transcription cannot be switched off, or there would be no transcript (PROTOCOL §5.10). Raises
    BadEvent for items that would speak for the server, and where odd shapes might hide something.
    """
    try:
        event, removed = _open(event) if grant.locked == _NOTHING_LOCKED else _closed(event, grant)
    except BadEvent as bad:
        bad.event_id = event.get("event_id")
        raise
    if event["type"] == "session.update":
        session, emptied = _transcribed(event["session"], transcription)
        return {**event, "session": session}, removed + emptied
    return event, removed


def _open(event: Event) -> tuple[Event, list[str]]:
    """Nothing but the model is the server's."""
    for name in ("session", "response"):
        body = event.get(name)
        if isinstance(body, dict) and "model" in body:
            return {**event, name: _without(body, "model")}, ["model"]
    return event, []


def _closed(event: Event, grant: Grant) -> tuple[Event, list[str]]:
    """An agent set or locked something."""
    kind = event["type"]
    if kind not in ("session.update", "response.create", "conversation.item.create"):
        return event, []
    outer = locks.top(event)
    fields, removed = outer.fields, outer.removed
    if kind == "session.update":
        inner = locks.session(event["session"], grant)
        return {**fields, "session": inner.fields}, removed + inner.removed
    if kind == "conversation.item.create":
        locks.check_item(event["item"], grant, "item")
    elif isinstance(event.get("response"), dict):
        inner = locks.response(event["response"], grant)
        return {**fields, "response": inner.fields}, removed + inner.removed
    return fields, removed


def _transcribed(
    session: dict[str, Any], transcription: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The session with input transcription on, and the names of objects that would have ended it.

    Null for a whole object clears what is in it (PROTOCOL §1a).
    """
    audio = session.get("audio", {})
    if not isinstance(audio, dict):
        return _without(session, "audio"), ["audio"]
    given = audio.get("input", {})
    if not isinstance(given, dict):
        return {**session, "audio": _without(audio, "input")}, ["audio.input"]
    if "transcription" not in given or _transcribes(given["transcription"]):
        return session, []
    heard = {**given, "transcription": transcription}
    return {**session, "audio": {**audio, "input": heard}}, []


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _transcribes(wanted: Any) -> bool:
    """Whether this changes how speech is written down, and not whether."""
    if not isinstance(wanted, dict) or not wanted:
        return False
    model = wanted.get("model", "as it is")
    return isinstance(model, str) and bool(model)

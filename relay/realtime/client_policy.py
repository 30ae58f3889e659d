"""Checks client events: their types, their shapes, and the fields that a client may not set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.effects import RuleOutcome
from relay.realtime.events import BadEvent, Event, locked_fields
from relay.realtime.grant import Grant

Json = dict[str, Any]
FieldPath = tuple[str, ...]

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
"""Every GA client event with the fields that it must have (PROTOCOL §1a)."""

_OPTIONAL: Final[dict[str, dict[str, type]]] = {
    "conversation.item.create": {"previous_item_id": str},
    "response.create": {"response": dict},
    "response.cancel": {"response_id": str},
}
_OBJECTS: Final = {
    "session.update": (
        ("session", "audio"),
        ("session", "audio", "input"),
        ("session", "audio", "output"),
    ),
    "response.create": (("response", "audio"), ("response", "audio", "output")),
}
"""Objects within events that must be null or an object: nothing else can be filtered."""

_TYPE_NAMES: Final = {dict: "an object", str: "a string", int: "an integer"}
_MAX_EVENT_ID: Final = 512  # characters; OpenAI's own bound

_GENERATION_FIELDS: Final = (
    *("instructions", "tools", "tool_choice", "output_modalities", "max_output_tokens"),
    *("parallel_tool_calls", "prompt", "reasoning"),
)
_OUTPUT_FIELDS: Final = {
    "voice": ("audio", "output", "voice"),
    "output_format": ("audio", "output", "format"),
}


def _paths(plain: tuple[str, ...], nested: Mapping[str, FieldPath]) -> Mapping[FieldPath, str]:
    return MappingProxyType({(name,): name for name in plain} | {p: n for n, p in nested.items()})


SESSION_FIELDS: Final = _paths(
    (*_GENERATION_FIELDS, "truncation", "include", "tracing"),
    {
        **_OUTPUT_FIELDS,
        "speed": ("audio", "output", "speed"),
        "input_format": ("audio", "input", "format"),
        "transcription": ("audio", "input", "transcription"),
        "noise_reduction": ("audio", "input", "noise_reduction"),
        "turn_detection": ("audio", "input", "turn_detection"),
    },
)
"""Every field of a session that GA lets a client set, and the name by which it is locked."""

RESPONSE_FIELDS: Final = _paths(
    (*_GENERATION_FIELDS, "conversation", "input", "metadata"), _OUTPUT_FIELDS
)
"""Every field of one response that GA lets a client set (PROTOCOL §1a)."""

LOCKABLE: Final = frozenset(SESSION_FIELDS.values())
"""Names that an agent's `locked` may list."""

_PARENTS: Final = frozenset(
    path[:length] for path in (*SESSION_FIELDS, *RESPONSE_FIELDS) for length in range(1, len(path))
)
_TOP_FIELDS: Final = {
    "session.update": frozenset({"type", "event_id", "session"}),
    "response.create": frozenset({"type", "event_id", "response"}),
    "conversation.item.create": frozenset({"type", "event_id", "item", "previous_item_id"}),
}
_NOTHING_LOCKED: Final = frozenset({"model"})
_ROLES: Final = ("user", "assistant")
_ITEM_TYPES: Final = (
    *("message", "function_call", "function_call_output", "mcp_approval_response"),
    "item_reference",
)
_CLEARED: Final[tuple[Any, ...]] = (None, "", [])  # values that empty a field (PROTOCOL §1a)


class ClientPolicy:
    """Lets through what the grant allows, and warns an aware client of the rest."""

    def __init__(self, grant: Grant, transcription: dict[str, Any], client: ClientEncoder) -> None:
        self._grant = grant
        self._transcription = transcription
        self._client = client

    def give_up_transcription(self) -> None:
        """Demand no transcription any more: the engine has refused its model."""
        self._transcription = {}

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event without fields that are the server's; raises BadEvent."""
        check_shape(event)
        allowed, removed = remove_locked(event, self._grant, self._transcription)
        named = [self._client.field(name) for name in removed]
        warning = self._client.notify(locked_fields(named)) if named else []
        return RuleOutcome([allowed], after=warning)


def check_shape(event: Event) -> None:
    """Raise BadEvent unless this is one of the client events in its shape."""
    kind, event_id = event["type"], event.get("event_id")
    if isinstance(event_id, str) and len(event_id) > _MAX_EVENT_ID:
        raise BadEvent(
            f"Invalid 'event_id': longer than {_MAX_EVENT_ID} characters.",
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
        raise _missing("item.type", event_id)


def _check_fields(event: Event, kind: str) -> None:
    for name, shape in REQUIRED[kind].items():
        if name not in event:
            raise _missing(name, event.get("event_id"))
        _require_type(event, name, shape)
    for name, shape in _OPTIONAL.get(kind, {}).items():
        if event.get(name) is not None:
            _require_type(event, name, shape)
    for path in _OBJECTS.get(kind, ()):
        _require_object(event, path)


def _require_type(event: Event, name: str, shape: type) -> None:
    value = event[name]
    if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise _wrong_type(name, _TYPE_NAMES[shape], event.get("event_id"))


def _require_object(event: Event, path: FieldPath) -> None:
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is not None and not isinstance(value, dict):
        raise _wrong_type(".".join(path), _TYPE_NAMES[dict], event.get("event_id"))


def remove_locked(
    event: Event, grant: Grant, transcription: dict[str, Any]
) -> tuple[Event, list[str]]:
    """The event as it may go up, and the names of the fields that were taken out of it.

    What a grant locks is the server's in `session.update` and `response.create`; input
    transcription cannot be switched off, or there would be no transcript (PROTOCOL §5.10), unless
    `transcription` is empty. Raises BadEvent for items that would speak for the server, and where
    odd shapes might hide something.
    """
    try:
        if grant.locked_fields == _NOTHING_LOCKED:
            event, removed = _remove_model(event)
        else:
            event, removed = _filter_event(event, grant)
    except BadEvent as bad:
        bad.event_id = event.get("event_id")
        raise
    if event["type"] == "session.update" and transcription:
        session, emptied = _keep_transcription(event["session"], transcription)
        return {**event, "session": session}, removed + emptied
    return event, removed


def _remove_model(event: Event) -> tuple[Event, list[str]]:
    """The model is the server's also where nothing is locked."""
    for name in ("session", "response"):
        body = event.get(name)
        if isinstance(body, dict) and "model" in body:
            return {**event, name: _without(body, "model")}, ["model"]
    return event, []


@dataclass(frozen=True, slots=True)
class _Filtered:
    """Fields that may go up, and the names of those that were taken out."""

    fields: Json
    removed: list[str]


def _filter_event(event: Event, grant: Grant) -> tuple[Event, list[str]]:
    kind = event["type"]
    if kind not in _TOP_FIELDS:
        return event, []
    known = _TOP_FIELDS[kind]
    removed = [name for name in event if name not in known]
    fields = {name: event[name] for name in event if name in known}
    if kind == "session.update":
        inner = _filter_session(event["session"], grant)
        return {**fields, "session": inner.fields}, removed + inner.removed
    if kind == "conversation.item.create":
        _check_item(event["item"], grant, "item")
    elif isinstance(event.get("response"), dict):
        inner = _filter_response(event["response"], grant)
        return {**fields, "response": inner.fields}, removed + inner.removed
    return fields, removed


def _filter_session(given: Json, grant: Grant) -> _Filtered:
    kept = _enforce_bounds(_allowed(given, SESSION_FIELDS, grant), grant, "session")
    if given.get("type", "realtime") != "realtime":  # other kinds of session ignore instructions
        kept.removed.append("type")
    fields = {"type": "realtime", **kept.fields} if "type" in given else kept.fields
    return _Filtered(fields, kept.removed)


def _filter_response(given: Json, grant: Grant) -> _Filtered:
    kept = _enforce_bounds(_allowed(given, RESPONSE_FIELDS, grant), grant, "response")
    items = kept.fields.get("input")
    if items is not None:
        if not isinstance(items, list):
            raise _wrong_type("response.input", "an array")
        for index, item in enumerate(items):
            _check_item(item, grant, f"response.input[{index}]")
    return kept


def _check_item(item: Any, grant: Grant, where: str) -> None:
    """Raise BadEvent for an item that would speak for the server."""
    if not isinstance(item, dict):
        raise _wrong_type(where, "an object")
    locked, kind, role = grant.locked_fields, item.get("type"), item.get("role")
    guarded = "instructions" in locked or "tool_choice" in locked
    if guarded and kind not in _ITEM_TYPES:
        raise _not_allowed(f"{where}.type", _ITEM_TYPES)
    if "instructions" in locked and role not in _ROLES and (kind == "message" or "role" in item):
        raise _not_allowed(f"{where}.role", _ROLES)
    if kind == "function_call" and _name(item) in grant.server_tool_names:
        raise BadEvent(
            f"Invalid value for '{where}.name'.", code="invalid_value", param=f"{where}.name"
        )


def speaks_for_server(item: Any, grant: Grant) -> bool:
    """Whether this is an item in the name of the system, for an agent who has instructions."""
    if not isinstance(item, dict) or "instructions" not in grant.locked_fields:
        return False
    role, kind = item.get("role"), item.get("type")
    return isinstance(role, str) and role not in _ROLES and kind in _ITEM_TYPES


def _allowed(given: Json, fields: Mapping[FieldPath, str], grant: Grant) -> _Filtered:
    locked = grant.locked_fields

    def walk(part: Json, at: FieldPath) -> _Filtered:
        kept = _Filtered({}, [])
        for name, value in part.items():
            path = (*at, name)
            if path in _PARENTS and isinstance(value, dict):
                inner = walk(value, path)
                kept.fields[name] = inner.fields
                kept.removed.extend(inner.removed)
            elif path in fields and fields[path] not in locked:
                kept.fields[name] = value
            elif path != ("type",):
                kept.removed.append(".".join(path))
        return kept

    return walk(given, ())


def _enforce_bounds(kept: _Filtered, grant: Grant, where: str) -> _Filtered:
    """Bound the output tokens, and keep the server's tools beside the client's own."""
    fields, most = kept.fields, grant.bounds.max_output_tokens
    if most is not None and "max_output_tokens" in fields:
        wanted = fields["max_output_tokens"]
        if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= most:
            del fields["max_output_tokens"]
            kept.removed.append("max_output_tokens")
    if grant.server_tools and "tools" in fields:
        own = list(_own_tools(fields["tools"], grant, f"{where}.tools"))
        if fields["tools"] and len(own) < len(fields["tools"]):
            kept.removed.append("tools")
        fields["tools"] = own + [tool.definition for tool in grant.server_tools]
    return kept


def _own_tools(given: Any, grant: Grant, where: str) -> Iterator[Json]:
    """The client's tools, without those that have the name of a server-side tool."""
    if given in _CLEARED:
        return
    if not isinstance(given, list):
        raise _wrong_type(where, "an array")
    taken = grant.server_tool_names
    for index, tool in enumerate(given):
        if not isinstance(tool, dict):
            raise _wrong_type(f"{where}[{index}]", "an object")
        if _name(tool) not in taken:
            yield tool


def _keep_transcription(
    session: dict[str, Any], transcription: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The session with input transcription on, and the names of objects that were taken out.

    Null for a whole object would clear the transcription in it (PROTOCOL §1a).
    """
    audio = session.get("audio", {})
    if not isinstance(audio, dict):
        return _without(session, "audio"), ["audio"]
    given = audio.get("input", {})
    if not isinstance(given, dict):
        return {**session, "audio": _without(audio, "input")}, ["audio.input"]
    if "transcription" not in given or _is_transcription(given["transcription"]):
        return session, []
    replaced = {**given, "transcription": transcription}
    return {**session, "audio": {**audio, "input": replaced}}, []


def _is_transcription(value: Any) -> bool:
    """Whether these settings keep the transcription on."""
    if not isinstance(value, dict) or not value:
        return False
    model = value.get("model", "unchanged")
    return isinstance(model, str) and bool(model)


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _name(named: Json) -> str | None:
    name = named.get("name")
    return name if isinstance(name, str) else None


def _missing(where: str, event_id: Any) -> BadEvent:
    return BadEvent(
        f"Missing required parameter: '{where}'.",
        code="missing_required_parameter",
        param=where,
        event_id=event_id,
    )


def _wrong_type(where: str, expected: str, event_id: Any = None) -> BadEvent:
    return BadEvent(
        f"Invalid type for '{where}': expected {expected}.",
        code="invalid_type",
        param=where,
        event_id=event_id,
    )


def _not_allowed(where: str, possible: tuple[str, ...]) -> BadEvent:
    names = ", ".join(f"'{name}'" for name in possible)
    return BadEvent(
        f"Invalid value for '{where}': with this agent it may be one of {names}.",
        code="invalid_value",
        param=where,
    )

"""What a client may send: the GA client events, their shapes, and the fields it may not set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.effects import RuleOutcome
from relay.realtime.events import BadEvent, Event, locked_fields
from relay.realtime.grant import Grant

# ---- What of a client's session, response or item goes up where a grant set or locked something.

Json = dict[str, Any]
Path = tuple[str, ...]

_THINKING = (
    *("instructions", "tools", "tool_choice", "output_modalities", "max_output_tokens"),
    *("parallel_tool_calls", "prompt", "reasoning"),
)
_VOICED = {"voice": ("audio", "output", "voice"), "output_format": ("audio", "output", "format")}


def _paths(plain: tuple[str, ...], nested: Mapping[str, Path]) -> Mapping[Path, str]:
    return MappingProxyType({(name,): name for name in plain} | {p: n for n, p in nested.items()})


SESSION_FIELDS: Final = _paths(
    (*_THINKING, "truncation", "include", "tracing"),
    {
        **_VOICED,
        "speed": ("audio", "output", "speed"),
        "input_format": ("audio", "input", "format"),
        "transcription": ("audio", "input", "transcription"),
        "noise_reduction": ("audio", "input", "noise_reduction"),
        "turn_detection": ("audio", "input", "turn_detection"),
    },
)
"""Every field of a session that GA lets a client set, and the name by which it is locked."""

RESPONSE_FIELDS: Final = _paths((*_THINKING, "conversation", "input", "metadata"), _VOICED)
"""The same of one response's wishes (PROTOCOL §1a)."""

LOCKABLE: Final = frozenset(SESSION_FIELDS.values())
"""What an agent may lock."""

_PARENTS: Final = frozenset(
    path[:length] for path in (*SESSION_FIELDS, *RESPONSE_FIELDS) for length in range(1, len(path))
)
_TOP: Final = {
    "session.update": frozenset({"type", "event_id", "session"}),
    "response.create": frozenset({"type", "event_id", "response"}),
    "conversation.item.create": frozenset({"type", "event_id", "item", "previous_item_id"}),
}
_ROLES: Final = ("user", "assistant")
_ITEMS: Final = (
    *("message", "function_call", "function_call_output", "mcp_approval_response"),
    "item_reference",
)
_CLEARED: Final[tuple[Any, ...]] = (None, "", [])  # what empties a field (PROTOCOL §1a)


@dataclass(frozen=True, slots=True)
class Filtered:
    """What may go up, and the names of the fields that were taken out."""

    fields: Json
    removed: list[str]


def top(event: Event) -> Filtered:
    """An event without fields that its type does not have."""
    known = _TOP[event["type"]]
    removed = [name for name in event if name not in known]
    return Filtered({name: event[name] for name in event if name in known}, removed)


def session(given: Json, grant: Grant) -> Filtered:
    """A client's session without what is the server's; raises BadEvent."""
    kept = _bounded(_allowed(given, SESSION_FIELDS, grant), grant, "session")
    if given.get("type", "realtime") != "realtime":  # another kind of session obeys no instructions
        kept.removed.append("type")
    return Filtered(
        {"type": "realtime", **kept.fields} if "type" in given else kept.fields, kept.removed
    )


def response(given: Json, grant: Grant) -> Filtered:
    """A client's wishes for one response without what is the server's; raises BadEvent."""
    kept = _bounded(_allowed(given, RESPONSE_FIELDS, grant), grant, "response")
    items = kept.fields.get("input")
    if items is not None:
        if not isinstance(items, list):
            raise _wrong_type("response.input", "an array")
        for index, item in enumerate(items):
            check_item(item, grant, f"response.input[{index}]")
    return kept


def check_item(item: Any, grant: Grant, where: str) -> None:
    """Raise BadEvent for an item that would speak for the server."""
    if not isinstance(item, dict):
        raise _wrong_type(where, "an object")
    locked, kind, role = grant.locked, item.get("type"), item.get("role")
    guarded = "instructions" in locked or "tool_choice" in locked
    if guarded and kind not in _ITEMS:
        raise _not_yours(f"{where}.type", _ITEMS)
    if "instructions" in locked and role not in _ROLES and (kind == "message" or "role" in item):
        raise _not_yours(f"{where}.role", _ROLES)
    if kind == "function_call" and _name(item) in grant.server_tool_names:
        raise BadEvent(
            f"Invalid value for '{where}.name'.", code="invalid_value", param=f"{where}.name"
        )


def _allowed(given: Json, fields: Mapping[Path, str], grant: Grant) -> Filtered:
    locked = grant.locked

    def walk(part: Json, at: Path) -> Filtered:
        kept = Filtered({}, [])
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


def _bounded(kept: Filtered, grant: Grant, where: str) -> Filtered:
    """Tokens within the bound, and the server's tools beside the client's own."""
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
    """The client's own tools, without those that have the name of one of the server's."""
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


def _name(named: Json) -> str | None:
    name = named.get("name")
    return name if isinstance(name, str) else None


def _wrong_type(where: str, what: str) -> BadEvent:
    return BadEvent(
        f"Invalid type for '{where}': expected {what}.", code="invalid_type", param=where
    )


def _not_yours(where: str, possible: tuple[str, ...]) -> BadEvent:
    names = ", ".join(f"'{name}'" for name in possible)
    return BadEvent(
        f"Invalid value for '{where}': with this agent it may be one of {names}.",
        code="invalid_value",
        param=where,
    )


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


class ClientPolicy:
    """Lets through what the grant allows, and tells an aware client what it may not set."""

    def __init__(self, grant: Grant, transcription: dict[str, Any], client: ClientEncoder) -> None:
        self._grant = grant
        self._transcription = transcription
        self._client = client

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event without locked fields; raises BadEvent for what is not allowed at all."""
        check(event)
        allowed, removed = apply(event, self._grant, self._transcription)
        warning = self._client.notify(locked_fields(removed)) if removed else []
        return RuleOutcome([allowed], after=warning)


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
    outer = top(event)
    fields, removed = outer.fields, outer.removed
    if kind == "session.update":
        inner = session(event["session"], grant)
        return {**fields, "session": inner.fields}, removed + inner.removed
    if kind == "conversation.item.create":
        check_item(event["item"], grant, "item")
    elif isinstance(event.get("response"), dict):
        inner = response(event["response"], grant)
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

"""What of a client's session, response or item goes up where a grant set or locked something.

An allow-list decides: a field that is not known here might be another name for a locked one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from relay.realtime.events import BadEvent, Event
from relay.realtime.grant import Grant

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
class Kept:
    """What may go up, and the names of the fields that were taken out."""

    fields: Json
    removed: list[str]


def top(event: Event) -> Kept:
    """An event without fields that its type does not have."""
    known = _TOP[event["type"]]
    removed = [name for name in event if name not in known]
    return Kept({name: event[name] for name in event if name in known}, removed)


def session(given: Json, grant: Grant) -> Kept:
    """A client's session without what is the server's; raises BadEvent."""
    kept = _bounded(_allowed(given, SESSION_FIELDS, grant), grant, "session")
    if given.get("type", "realtime") != "realtime":  # another kind of session obeys no instructions
        kept.removed.append("type")
    return Kept(
        {"type": "realtime", **kept.fields} if "type" in given else kept.fields, kept.removed
    )


def response(given: Json, grant: Grant) -> Kept:
    """A client's wishes for one response without what is the server's; raises BadEvent."""
    kept = _bounded(_allowed(given, RESPONSE_FIELDS, grant), grant, "response")
    items = kept.fields.get("input")
    if items is not None:
        if not isinstance(items, list):
            raise _wrong("response.input", "an array")
        for index, item in enumerate(items):
            check_item(item, grant, f"response.input[{index}]")
    return kept


def check_item(item: Any, grant: Grant, where: str) -> None:
    """Raise BadEvent for an item that would speak for the server."""
    if not isinstance(item, dict):
        raise _wrong(where, "an object")
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


def _allowed(given: Json, fields: Mapping[Path, str], grant: Grant) -> Kept:
    locked = grant.locked

    def walk(part: Json, at: Path) -> Kept:
        kept = Kept({}, [])
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


def _bounded(kept: Kept, grant: Grant, where: str) -> Kept:
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
        raise _wrong(where, "an array")
    taken = grant.server_tool_names
    for index, tool in enumerate(given):
        if not isinstance(tool, dict):
            raise _wrong(f"{where}[{index}]", "an object")
        if _name(tool) not in taken:
            yield tool


def _name(named: Json) -> str | None:
    name = named.get("name")
    return name if isinstance(name, str) else None


def _wrong(where: str, what: str) -> BadEvent:
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

"""Translates events between the GA and the beta vocabulary of the Realtime API.

Inside the relay GA is the only vocabulary (docs/adr/0001-ga-realtime-inside.md); a door whose
clients speak beta translates here. Nothing changes its argument: an event that needs no translation
is returned itself. Malformed or unknown events pass: the other end judges them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from relay.realtime.events import Event, Frame

Json = dict[str, Any]

DEFAULT_TEMPERATURE = 0.8  # beta objects always had one, GA objects have none
TRANSCRIPTION_OBJECT = "realtime.transcription_session"

# Beta fields that GA refuses: it discards a whole `session.update` for one unknown parameter.
_BETA_ONLY = frozenset({"temperature", "client_secret"})

_GA_FORMATS: dict[str, Json] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_BETA_FORMATS = {ga["type"]: beta for beta, ga in _GA_FORMATS.items()}
_MISSING = object()

_BETA_CONTENT = {"output_text": "text", "output_audio": "audio"}
_GA_CONTENT = {
    "assistant": {"text": "output_text", "audio": "output_audio"},
    "user": {"text": "input_text"},
    "system": {"text": "input_text"},
}
# Beta clients append deltas to these fields, so a part must begin with a string (PROTOCOL §6).
_PART_TEXT = {"audio": "transcript", "text": "text"}


def to_ga(event: Event) -> Event:
    """Translate a client event to GA; one that is GA already is returned unchanged.

    A session with a `type` or nested audio is GA, and so is a response with nested audio.
    """
    translate = _CLIENT_TABLE.get(_name(event))
    return translate(event) if translate else event


def to_beta(event: Event) -> Event | None:
    """Translate a GA server event to beta; None for one that a beta client is not shown."""
    name = _name(event)
    row = TABLE.get(name)
    if row is None:
        return event
    if row.beta is None:
        return None
    beta = row.beta
    if name in TRANSCRIPTION_NAMES and is_transcription(event.get("session")):
        beta = TRANSCRIPTION_NAMES[name]
    return (
        _translated(event, beta, row.body.key, row.body.to_beta)
        if row.body
        else _named(event, beta)
    )


def beta_to_ga(event: Event) -> Event:
    """Translate a beta server event to GA, for replaying old logs.

    No `conversation.item.done` is added: beta never said when an item was complete.
    """
    name = _name(event)
    ga, body = _BETA_TABLE.get(name, (name, None))
    return _translated(event, ga, body.key, body.to_ga) if body else _named(event, ga)


def rename(frame: Frame, ga_type: str) -> bytes | None:
    """Give a frame its beta name without parsing it, at the cost of one copy.

    Only for types in `RENAMED`. None for a frame that does not begin with its type (PROTOCOL §0:
    frames do, but that is no promise): decode that one and use `to_beta`.
    """
    for ga, beta in _OPENINGS.get(ga_type, ()):
        if frame[: len(ga)] == ga:
            return b"".join((beta, memoryview(frame)[len(ga) :]))
    return None


def _is_ga(session: Any) -> bool:
    return isinstance(session, dict) and ("type" in session or _nests_audio(session))


def _nests_audio(body: Any) -> bool:
    return isinstance(body, dict) and isinstance(body.get("audio"), dict)


def _name(event: Event) -> str:
    name = event.get("type")
    return name if isinstance(name, str) else ""


def _named(event: Event, name: str) -> Event:
    return event if name == _name(event) else {**event, "type": name}


def _translated(event: Event, name: str, key: str, translate: Callable[[Json], Any]) -> Event:
    body = event.get(key)
    if not isinstance(body, dict):
        return _named(event, name)
    return {**event, "type": name, key: translate(body)}


# Session and response objects: flat in beta, nested in GA (PROTOCOL §2)


def is_transcription(session: object) -> bool:
    """Whether this is the object of a transcription session, in either dialect."""
    if not isinstance(session, dict):
        return False
    return session.get("type") == "transcription" or session.get("object") == TRANSCRIPTION_OBJECT


def ga_session(beta: Json) -> Json:
    """Nest a beta session, whole or partial, as GA does: the given fields and `type`.

    `null`, `""` and `[]` are kept: they clear a field. A field that is not a beta field stays where
    it is, so a session that is GA already keeps its shape.
    """
    kind = "transcription" if is_transcription(beta) else "realtime"
    return {"type": kind, **_nested(beta, _SESSION)}


def ga_transcription_session(beta: Json) -> Json:
    """Nest the session of beta's `transcription_session.update`.

    `modalities` is left out: GA's transcription sessions give no answers, so they have none.
    """
    rest = {name: value for name, value in beta.items() if name != "modalities"}
    return {"type": "transcription", **_nested(rest, _SESSION)}


def beta_session(ga: Json) -> Json:
    """Flatten a GA session as in beta; fields that beta never had stay as they are.

    `type` is removed, so that a client that sends its session back is understood as beta.
    """
    flat = _flat(ga, _SESSION)
    flat.pop("type", None)
    if not is_transcription(ga):
        flat.setdefault("temperature", DEFAULT_TEMPERATURE)
    return flat


def ga_response(beta: Json) -> Json:
    """Nest a beta response object, as a client sends it or as a server does."""
    return _nested(beta, _CLIENT_RESPONSE)


def beta_response(ga: Json) -> Json:
    """Flatten a GA response object, except for its output."""
    return {"temperature": DEFAULT_TEMPERATURE, **_flat(ga, _RESPONSE)}


def _ga_modalities(value: Any) -> Any:
    # In GA an answer is audio or text, never both: audio comes with its transcript.
    return ["audio"] if value in (["text", "audio"], ["audio", "text"]) else value


def _beta_modalities(value: Any) -> Any:
    return ["audio", "text"] if value == ["audio"] else value


def _ga_format(value: Any) -> Any:
    known = _GA_FORMATS.get(value) if isinstance(value, str) else None
    return value if known is None else dict(known)


def _beta_format(value: Any) -> Any:
    kind = value.get("type") if isinstance(value, dict) else None
    return _BETA_FORMATS.get(kind, value) if isinstance(kind, str) else value


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class _Field:
    """One field in both shapes: its flat beta name, its GA path, and the translation of values."""

    beta: str
    path: tuple[str, ...]
    to_ga: Callable[[Any], Any] = _same
    to_beta: Callable[[Any], Any] = _same


_MODALITIES = _Field("modalities", ("output_modalities",), _ga_modalities, _beta_modalities)
_VOICE = _Field("voice", ("audio", "output", "voice"))
_OUTPUT_FORMAT = _Field(
    "output_audio_format", ("audio", "output", "format"), _ga_format, _beta_format
)
_MAX_TOKENS = _Field("max_response_output_tokens", ("max_output_tokens",))

_SESSION = (
    _MODALITIES,
    _VOICE,
    _Field("speed", ("audio", "output", "speed")),
    _Field("input_audio_format", ("audio", "input", "format"), _ga_format, _beta_format),
    _OUTPUT_FORMAT,
    _Field("input_audio_transcription", ("audio", "input", "transcription")),
    _Field("input_audio_noise_reduction", ("audio", "input", "noise_reduction")),
    _Field("turn_detection", ("audio", "input", "turn_detection")),
    _MAX_TOKENS,
)
# A server's beta response has `max_output_tokens`, as in GA; a client may send either name.
_RESPONSE = (_MODALITIES, _VOICE, _OUTPUT_FORMAT)
_CLIENT_RESPONSE = (*_RESPONSE, _MAX_TOKENS)


def _nested(flat: Json, fields: Sequence[_Field]) -> Json:
    moved = _BETA_ONLY.union(field.beta for field in fields)
    nested = {name: value for name, value in flat.items() if name not in moved}
    for field in fields:
        if field.beta in flat:
            _place(nested, field.path, field.to_ga(flat[field.beta]))
    return nested


def _place(tree: Json, path: tuple[str, ...], value: Any) -> None:
    """Set a value in a tree, copying every level below the top."""
    *parents, leaf = path
    for name in parents:
        child = tree.get(name)
        tree[name] = dict(child) if isinstance(child, dict) else {}
        tree = tree[name]
    tree[leaf] = value


def _flat(nested: Json, fields: Sequence[_Field]) -> Json:
    flat = dict(nested)
    for field in fields:
        value = _find(flat, field.path)
        if value is not _MISSING:
            flat = _without(flat, field.path)
            flat[field.beta] = field.to_beta(value)
    return flat


def _find(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return _MISSING
        tree = tree[name]
    return tree


def _without(tree: Json, path: tuple[str, ...]) -> Json:
    """Copy a tree without the value at `path` and without parents that held nothing else."""
    name, *rest = path
    pruned = dict(tree)
    child = pruned.pop(name)
    if rest and (left := _without(child, tuple(rest))):
        pruned[name] = left
    return pruned


def whole_beta_response(ga: Json) -> Json:
    """Translate a response and the items in it to beta."""
    # Beta clients push item ids to `output` from the first event on, so it is always a list.
    output = ga.get("output")
    items = [beta_item(item) for item in output] if isinstance(output, list) else []
    return {**beta_response(ga), "output": items}


def whole_ga_response(beta: Json) -> Json:
    """Translate a response to GA, the items in its `input` and `output` included."""
    ga = ga_response(beta)
    for name in ("input", "output"):
        if isinstance(ga.get(name), list):
            ga[name] = [ga_item(item) for item in ga[name]]
    return ga


# Conversation items and their content parts (PROTOCOL §1b and §2)


def beta_item(item: Any) -> Any:
    """Translate an item to beta: `object`, beta content types, and content in every message."""
    if not isinstance(item, dict):
        return item
    beta = {**item, "object": item.get("object") or "realtime.item"}
    if item.get("type") == "message":
        content = item.get("content")
        beta["content"] = [] if content is None else _renamed_parts(content, _BETA_CONTENT)
    return beta


def ga_item(item: Any) -> Any:
    """Give an item its GA content types, which depend on its role."""
    if not isinstance(item, dict) or "content" not in item:
        return item
    role = item.get("role")
    names = _GA_CONTENT.get(role, {}) if isinstance(role, str) else {}
    return {**item, "content": _renamed_parts(item["content"], names)}


def beta_part(part: Any) -> Any:
    """Translate the part of a `response.content_part` event; it has a text from the beginning."""
    beta = _renamed(part, _BETA_CONTENT)
    kind = beta.get("type") if isinstance(beta, dict) else None
    text = _PART_TEXT.get(kind) if isinstance(kind, str) else None
    if text is None or beta.get(text) is not None:
        return beta
    return {**beta, text: ""}


def _renamed_parts(content: Any, names: Mapping[str, str]) -> Any:
    return [_renamed(part, names) for part in content] if isinstance(content, list) else content


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in names:
        return part
    return {**part, "type": names[kind]}


# Errors: what they say of GA fields


def _path_pattern(field: _Field) -> str:
    """The GA paths that mean this field, of a session or a response.

    A plain word counts only with what it is a field of. A format is one word in beta.
    """
    path = re.escape(".".join(field.path))
    prefix = r"(?:session\.|response\.)" + ("?" if len(field.path) > 1 else "")
    parts = r"(?:\.(?:type|rate))?" if field.path[-1] == "format" else ""
    return rf"(?<![\w.])({prefix}){path}{parts}(?!\w)"


_PATHS = tuple(
    (re.compile(_path_pattern(field)), rf"\g<1>{field.beta}")
    for field in _SESSION
    if field.beta != ".".join(field.path)
)


def beta_text(text: str) -> str:
    """A message or parameter with the beta names of the fields that it names."""
    for pattern, beta in _PATHS:
        text = pattern.sub(beta, text)
    return text


def beta_field(name: str) -> str:
    """The beta name of a field of a session or a response, given by its path in there."""
    return beta_text(f"session.{name}").removeprefix("session.")


def beta_error(ga: Json) -> Json:
    """Translate the `error` object of an event: its message and its parameter name fields."""
    named = {name: ga[name] for name in ("message", "param") if isinstance(ga.get(name), str)}
    beta = {name: beta_text(text) for name, text in named.items()}
    return ga if beta == named else {**ga, **beta}


# The event tables


def _unchanged(part: Json) -> Json:
    return part


@dataclass(frozen=True, slots=True)
class Body:
    """The object in an event that differs between the dialects, and its translations."""

    key: str
    to_beta: Callable[[Json], Any]
    to_ga: Callable[[Json], Any]


@dataclass(frozen=True, slots=True)
class Row:
    """The translation of one GA server event: its beta name (None: not shown) and its body."""

    beta: str | None
    body: Body | None = None


SESSION = Body("session", beta_session, ga_session)
TRANSCRIPTION = Body("session", beta_session, ga_transcription_session)
RESPONSE = Body("response", whole_beta_response, whole_ga_response)
ITEM = Body("item", beta_item, ga_item)
ERROR = Body("error", beta_error, _unchanged)  # old logs are read for what was said
PART = Body("part", beta_part, _unchanged)  # parts are "audio" and "text" in both dialects


def _same_name(names: str, body: Body | None = None) -> dict[str, Row]:
    return {name: Row(name, body) for name in names.split()}


TABLE: dict[str, Row] = {
    **_same_name("session.created session.updated", SESSION),
    # Beta had this event, but the older front end takes it for the relay's own (S3-26).
    "conversation.created": Row(None),
    "conversation.item.added": Row("conversation.item.created", ITEM),
    "conversation.item.created": Row("conversation.item.created", ITEM),
    "conversation.item.done": Row(None),
    **_same_name("conversation.item.retrieved", ITEM),
    **_same_name("conversation.item.truncated conversation.item.deleted"),
    **_same_name(
        "conversation.item.input_audio_transcription.delta"
        " conversation.item.input_audio_transcription.completed"
        " conversation.item.input_audio_transcription.failed"
        " conversation.item.input_audio_transcription.segment"
    ),
    **_same_name(
        "input_audio_buffer.speech_started input_audio_buffer.speech_stopped"
        " input_audio_buffer.committed input_audio_buffer.cleared"
        " input_audio_buffer.timeout_triggered input_audio_buffer.dtmf_event_received"
    ),
    **_same_name("response.created response.done", RESPONSE),
    **_same_name("response.output_item.added response.output_item.done", ITEM),
    **_same_name("response.content_part.added response.content_part.done", PART),
    "response.output_audio.delta": Row("response.audio.delta"),
    "response.output_audio.done": Row("response.audio.done"),
    "response.output_audio_transcript.delta": Row("response.audio_transcript.delta"),
    "response.output_audio_transcript.done": Row("response.audio_transcript.done"),
    "response.output_text.delta": Row("response.text.delta"),
    "response.output_text.done": Row("response.text.done"),
    **_same_name("response.function_call_arguments.delta response.function_call_arguments.done"),
    **_same_name(
        "response.mcp_call_arguments.delta response.mcp_call_arguments.done"
        " response.mcp_call.in_progress response.mcp_call.completed response.mcp_call.failed"
        " mcp_list_tools.in_progress mcp_list_tools.completed mcp_list_tools.failed"
    ),
    **_same_name("rate_limits.updated"),
    **_same_name("error", ERROR),
    **_same_name(
        "output_audio_buffer.started output_audio_buffer.stopped output_audio_buffer.cleared"
    ),
}

BETA_NAMES: Mapping[str, str | None] = MappingProxyType({ga: r.beta for ga, r in TABLE.items()})
"""The beta name of every GA server event; None for one that a beta client is not shown."""

TRANSCRIPTION_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "session.created": "transcription_session.created",
        "session.updated": "transcription_session.updated",
    }
)
"""The beta names of two events of a transcription session."""

FIRST_NAMES = frozenset(
    {
        *("error", "rate_limits.updated", "session.created", "session.updated"),
        *("input_audio_buffer.committed", "input_audio_buffer.cleared"),
        *("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"),
        *("conversation.item.created", "conversation.item.truncated", "conversation.item.deleted"),
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.failed",
        *("response.created", "response.done"),
        *("response.output_item.added", "response.output_item.done"),
        *("response.content_part.added", "response.content_part.done"),
        *("response.text.delta", "response.text.done"),
        *("response.audio_transcript.delta", "response.audio_transcript.done"),
        *("response.audio.delta", "response.audio.done"),
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    }
)
"""The beta names of the server events that the beta had in 2024."""

REWRITTEN = frozenset(ga for ga, row in TABLE.items() if row.body)
"""GA server events that change in more than their name: `to_beta` needs them decoded."""

RENAMED = frozenset(ga for ga, row in TABLE.items() if row.beta not in (ga, None) and not row.body)
"""GA server events that change in their name alone: `rename` replaces it in the frame."""

DROPPED = frozenset(ga for ga, row in TABLE.items() if row.beta is None)
"""GA server events that a beta client is not shown. All other events pass as they are."""

# Beta server name to GA name and body. A renamed event wins over one that keeps its name in GA.
_BETA_TABLE: dict[str, tuple[str, Body | None]] = {
    row.beta: (ga, row.body)
    for ga, row in sorted(TABLE.items(), key=lambda entry: entry[0] != entry[1].beta)
    if row.beta
} | {beta: (ga, TRANSCRIPTION) for ga, beta in TRANSCRIPTION_NAMES.items()}


def _session_update(event: Event) -> Event:
    if _is_ga(event.get("session")):
        return event
    return _translated(event, "session.update", "session", ga_session)


def _transcription_session_update(event: Event) -> Event:
    if _is_ga(event.get("session")):
        return _named(event, "session.update")
    return _translated(event, "session.update", "session", ga_transcription_session)


def _response_create(event: Event) -> Event:
    if _nests_audio(event.get("response")):
        return event
    return _translated(event, "response.create", "response", whole_ga_response)


def _item_create(event: Event) -> Event:
    return _translated(event, "conversation.item.create", "item", ga_item)


_CLIENT_TABLE: dict[str, Callable[[Event], Event]] = {
    "session.update": _session_update,
    "transcription_session.update": _transcription_session_update,
    "response.create": _response_create,
    "conversation.item.create": _item_create,
}


def _openings(ga: str, beta: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """The first bytes of frames of these types: as OpenAI writes them, and as `json.dumps` does."""
    spellings = ('{"type":"%s"', '{"type": "%s"')
    return tuple(((form % ga).encode(), (form % beta).encode()) for form in spellings)


_OPENINGS = {ga: _openings(ga, BETA_NAMES[ga]) for ga in RENAMED}

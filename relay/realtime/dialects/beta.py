"""GA and beta Realtime events: what a client that still speaks beta is told, and what it means.

Inside, GA is the only vocabulary (docs/adr/0001); a door whose client speaks beta translates with
this module. Nothing here changes what it is given; an event that needs no translation is returned
itself. What is malformed or unknown goes through: the other end shall judge it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from relay.realtime.events import Event, Frame

# ---- Session and response objects in both dialects: flat as in beta, nested as in GA (PROTOCOL
# §2).

Json = dict[str, Any]

DEFAULT_TEMPERATURE = 0.8  # beta objects always had one; GA has none to tell
TRANSCRIPTION_OBJECT = "realtime.transcription_session"

# What beta had and GA refuses: a whole `session.update` is discarded for one unknown parameter.
_BETA_ONLY = frozenset({"temperature", "client_secret"})

_GA_FORMATS: dict[str, Json] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_BETA_FORMATS = {ga["type"]: beta for beta, ga in _GA_FORMATS.items()}
_MISSING = object()


def is_transcription(session: object) -> bool:
    """Say whether this is the object of a transcription session, in either dialect."""
    if not isinstance(session, dict):
        return False
    return session.get("type") == "transcription" or session.get("object") == TRANSCRIPTION_OBJECT


def ga_session(beta: Json) -> Json:
    """Nest a beta session, whole or partial, as GA does: only given fields appear, and `type`.

    `null`, `""` and `[]` stay, they clear a field. What is no beta field stays where it is, so a
    session that is GA already keeps its shape.
    """
    kind = "transcription" if is_transcription(beta) else "realtime"
    return {"type": kind, **_nested(beta, _SESSION)}


def ga_transcription_session(beta: Json) -> Json:
    """Nest what beta's `transcription_session.update` carries.

    `modalities` is left out: GA's transcription sessions answer nothing, so they have none.
    """
    rest = {name: value for name, value in beta.items() if name != "modalities"}
    return {"type": "transcription", **_nested(rest, _SESSION)}


def beta_session(ga: Json) -> Json:
    """Flatten a GA session as beta had it; fields that beta never had stay as they are.

    `type` goes, so that a client that sends its session back is understood as speaking beta.
    """
    flat = _flat(ga, _SESSION)
    flat.pop("type", None)
    if not is_transcription(ga):
        flat.setdefault("temperature", DEFAULT_TEMPERATURE)
    return flat


def ga_response(beta: Json) -> Json:
    """Nest a beta response object: the client's wish, or the server's report."""
    return _nested(beta, _RESPONSE_WISH)


def beta_response(ga: Json) -> Json:
    """Flatten a GA response object, without a look into its output."""
    return {"temperature": DEFAULT_TEMPERATURE, **_flat(ga, _RESPONSE)}


def _ga_modalities(value: Any) -> Any:
    # GA speaks or writes, never both: speech brings its transcript along.
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
    """One field in both shapes: its flat beta name, its GA path, how its value is told."""

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
# A beta response is reported with `max_output_tokens`, as in GA, and may be wished with either.
_RESPONSE = (_MODALITIES, _VOICE, _OUTPUT_FORMAT)
_RESPONSE_WISH = (*_RESPONSE, _MAX_TOKENS)


def _nested(flat: Json, fields: Sequence[_Field]) -> Json:
    moved = _BETA_ONLY.union(field.beta for field in fields)
    nested = {name: value for name, value in flat.items() if name not in moved}
    for field in fields:
        if field.beta in flat:
            _place(nested, field.path, field.to_ga(flat[field.beta]))
    return nested


def _place(tree: Json, path: tuple[str, ...], value: Any) -> None:
    """Set a value in a tree of which only the top is ours to change."""
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
    """Copy a tree without the value at `path`, nor the parents that held nothing else."""
    name, *rest = path
    pruned = dict(tree)
    child = pruned.pop(name)
    if rest and (left := _without(child, tuple(rest))):
        pruned[name] = left
    return pruned


# ---- Conversation items and their content parts in both dialects (PROTOCOL §1b and §2).

_BETA_CONTENT = {"output_text": "text", "output_audio": "audio"}
_GA_CONTENT = {
    "assistant": {"text": "output_text", "audio": "output_audio"},
    "user": {"text": "input_text"},
    "system": {"text": "input_text"},
}
# Beta clients append deltas to these, so a part must begin with an empty string (PROTOCOL §6).
_PART_TEXT = {"audio": "transcript", "text": "text"}


def beta_item(item: Any) -> Any:
    """Show an item as beta did: `object`, beta content types, a message never without content."""
    if not isinstance(item, dict):
        return item
    beta = {**item, "object": item.get("object") or "realtime.item"}
    if item.get("type") == "message":
        content = item.get("content")
        beta["content"] = [] if content is None else _renamed_parts(content, _BETA_CONTENT)
    return beta


def ga_item(item: Any) -> Any:
    """Give an item its GA content types, which depend on who speaks."""
    if not isinstance(item, dict) or "content" not in item:
        return item
    role = item.get("role")
    names = _GA_CONTENT.get(role, {}) if isinstance(role, str) else {}
    return {**item, "content": _renamed_parts(item["content"], names)}


def beta_part(part: Any) -> Any:
    """Show the part of a `response.content_part` event, its text there from the beginning."""
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


# ---- The table behind the dialect: every GA server event, its beta name, and what in it reads
# anew.


def whole_beta_response(ga: Json) -> Json:
    """Show a response and the items in it as beta did."""
    # Beta clients push item ids to `output` from the first event on, so it is always a list.
    output = ga.get("output")
    items = [beta_item(item) for item in output] if isinstance(output, list) else []
    return {**beta_response(ga), "output": items}


def whole_ga_response(beta: Json) -> Json:
    """Give a response its GA shape, the items in it too: a wish's `input`, a report's `output`."""
    ga = ga_response(beta)
    for name in ("input", "output"):
        if isinstance(ga.get(name), list):
            ga[name] = [ga_item(item) for item in ga[name]]
    return ga


def _unchanged(part: Json) -> Json:
    return part


@dataclass(frozen=True, slots=True)
class Body:
    """The one object in an event that reads differently in the two dialects."""

    key: str
    to_beta: Callable[[Json], Any]
    to_ga: Callable[[Json], Any]


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of one GA server event: its beta name (None: not shown) and its body."""

    beta: str | None
    body: Body | None = None


SESSION = Body("session", beta_session, ga_session)
TRANSCRIPTION = Body("session", beta_session, ga_transcription_session)
RESPONSE = Body("response", whole_beta_response, whole_ga_response)
ITEM = Body("item", beta_item, ga_item)
PART = Body("part", beta_part, _unchanged)  # parts are "audio" and "text" in both dialects


def _same_name(names: str, body: Body | None = None) -> dict[str, Row]:
    return {name: Row(name, body) for name in names.split()}


TABLE: dict[str, Row] = {
    **_same_name("session.created session.updated", SESSION),
    # Beta had this one, but S3's front end takes it for the relay's own (S3-26).
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
    **_same_name("rate_limits.updated error"),
    **_same_name(
        "output_audio_buffer.started output_audio_buffer.stopped output_audio_buffer.cleared"
    ),
}

BETA_NAMES: Mapping[str, str | None] = MappingProxyType({ga: r.beta for ga, r in TABLE.items()})
"""Every GA server event and the name under which a beta client sees it; None: not at all."""

TRANSCRIPTION_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "session.created": "transcription_session.created",
        "session.updated": "transcription_session.updated",
    }
)
"""The beta names of two events where the session is a transcription session."""

REWRITTEN = frozenset(ga for ga, row in TABLE.items() if row.body)
"""GA server events of which more than the name changes: they must be decoded for `to_beta`."""

RENAMED = frozenset(ga for ga, row in TABLE.items() if row.beta not in (ga, None) and not row.body)
"""GA server events of which the name alone changes: `rename` splices it into the frame."""

DROPPED = frozenset(ga for ga, row in TABLE.items() if row.beta is None)
"""GA server events that a beta client is not shown. What is in none of the three passes as is."""

# Beta server name -> GA name and body. A renamed event wins over one that GA merely lists still.
_BETA_TABLE: dict[str, tuple[str, Body | None]] = {
    row.beta: (ga, row.body)
    for ga, row in sorted(TABLE.items(), key=lambda entry: entry[0] != entry[1].beta)
    if row.beta
} | {beta: (ga, TRANSCRIPTION) for ga, beta in TRANSCRIPTION_NAMES.items()}


def to_beta(event: Event) -> Event | None:
    """Tell a GA server event as a beta client knows it; None when such a client is not shown it."""
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
    """Tell a beta server event in GA's words, for replaying old logs.

    No `conversation.item.done` is made up: beta never said when an item was complete.
    """
    name = _name(event)
    ga, body = _BETA_TABLE.get(name, (name, None))
    return _translated(event, ga, body.key, body.to_ga) if body else _named(event, ga)


def to_ga(event: Event) -> Event:
    """Tell a client event in GA's words; one that is GA already is returned unchanged.

    A session that says its `type` or has its audio nested is GA, and so is a response with nested
    audio.
    """
    translate = _CLIENT_TABLE.get(_name(event))
    return translate(event) if translate else event


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


def _openings(ga: str, beta: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """Say how frames of these names begin: as OpenAI writes them, and as `json.dumps` does."""
    spellings = ('{"type":"%s"', '{"type": "%s"')
    return tuple(((form % ga).encode(), (form % beta).encode()) for form in spellings)


_OPENINGS = {ga: _openings(ga, BETA_NAMES[ga]) for ga in RENAMED}


def rename(frame: Frame, ga_type: str) -> bytes | None:
    """Return the frame under its beta name without parsing it, at the price of one copy.

    Only for types in `RENAMED`. None when the frame does not begin with its type (PROTOCOL §0
    says it does, nothing promises it): decode it and ask `to_beta` then.
    """
    for ga, beta in _OPENINGS.get(ga_type, ()):
        if frame[: len(ga)] == ga:
            return b"".join((beta, memoryview(frame)[len(ga) :]))
    return None

"""Session and response objects in both dialects: flat as in beta, nested as in GA (PROTOCOL §2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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

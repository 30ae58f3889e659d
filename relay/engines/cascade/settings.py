"""What a session is set to, and how a client may change it (PROTOCOL §2)."""

import copy
from dataclasses import dataclass
from typing import Any

from relay.engines.cascade import items
from relay.engines.cascade.effects import NewId, RequestRefused
from relay.engines.cascade.items import CascadeItem, ItemList
from relay.engines.cascade.validation import (
    anything,
    array,
    boolean,
    either,
    integer,
    nullable,
    number,
    one_of,
    record,
    tagged,
    text,
    thing,
)

Settings = dict[str, Any]

SESSION_SECONDS = 3600
"""How long a session may live, as OpenAI has it."""

SEMANTIC_SILENCE_MS = {"low": 1200, "medium": 800, "auto": 800, "high": 400}
"""`semantic_vad` is carried out as `server_vad` that waits this long, by eagerness.

An offline voice does not know whether a sentence is finished; an eager one waits for less silence.
"""

PREFIX_MS = 300
"""Audio before the voice that belongs to a turn, where the client has not said."""

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")

_INSTRUCTIONS = (
    "You are an offline demonstration voice. Answer shortly and kindly, in plain English, and say "
    "so when you did not understand."
)
_TRANSCRIBER = "gpt-realtime-whisper"
_PCM = {"type": "audio/pcm", "rate": 24_000}
_SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": PREFIX_MS,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_MAX_MS = 600_000  # ten minutes: no duration a client may set is longer
_LEAST_IDLE_MS = 1_000  # a voice that asks more often than that would talk to itself

_FORMAT = record({"type": one_of("audio/pcm"), "rate": nullable(integer(24_000, 24_000))})
_VOICE = either(record({"id": text(128)}, required=("id",)), one_of(*VOICES))
_TURNS = {"create_response": boolean, "interrupt_response": boolean}
_TURN_DETECTION = tagged(
    {
        "server_vad": record(
            {
                "type": anything,
                "threshold": number(0, 1),
                "prefix_padding_ms": integer(0, _MAX_MS),
                "silence_duration_ms": integer(0, _MAX_MS),
                "idle_timeout_ms": nullable(integer(_LEAST_IDLE_MS, _MAX_MS)),
                **_TURNS,
            }
        ),
        "semantic_vad": record(
            {"type": anything, "eagerness": one_of(*SEMANTIC_SILENCE_MS), **_TURNS}
        ),
    }
)
_TRANSCRIPTION = record(
    {
        "model": text(128),
        "language": nullable(text(64)),
        "prompt": nullable(text()),
        "delay": nullable(text(32)),
        "keywords": nullable(array(text())),
        "languages": nullable(array(text(64))),
    }
)


def _modalities(value: Any, path: str) -> list[str]:
    if value not in (["text"], ["audio"]):
        raise RequestRefused(
            "invalid_value",
            f"Invalid modalities: {str(value)[:64]}. "
            "Supported combinations are: ['text'] and ['audio'].",
            path,
        )
    return list(value)


def _tool(value: Any, path: str) -> dict[str, Any]:
    tool = thing(value, path)
    first = ("type", "name", "description", "parameters")  # as a session shows them
    return {**{key: tool[key] for key in first if key in tool}, **tool}


THINKING = {
    "output_modalities": _modalities,
    "instructions": nullable(text()),
    "tools": nullable(array(_tool, 128)),
    "tool_choice": nullable(either(thing, text(64))),
    "max_output_tokens": nullable(either(one_of("inf"), integer(1, 4096))),
    "prompt": nullable(thing),
    "reasoning": nullable(thing),
    "parallel_tool_calls": nullable(boolean),
}
"""What a session and a single response may both set."""

VOICED = record({"format": _FORMAT, "voice": _VOICE})

_SESSION = record(
    {
        "type": one_of("realtime"),
        "model": text(128),
        **THINKING,
        "tracing": nullable(either(thing, one_of("auto"))),
        "truncation": nullable(either(thing, one_of("auto", "disabled"))),
        "include": nullable(array(text(128))),
        "audio": record(
            {
                "input": record(
                    {
                        "format": _FORMAT,
                        "transcription": nullable(_TRANSCRIPTION),
                        "noise_reduction": nullable(record({"type": text(64)})),
                        "turn_detection": nullable(_TURN_DETECTION),
                    }
                ),
                "output": record({"format": _FORMAT, "voice": _VOICE, "speed": number(0.25, 1.5)}),
            }
        ),
    },
    required=("type",),
)


def opening(session_id: str, model: str, expires_at: int) -> Settings:
    """Return the full settings that `session.created` shows; the key order is OpenAI's."""
    elder = model in ("gpt-realtime", "gpt-realtime-mini")
    turns = {**_SERVER_VAD, "silence_duration_ms": 200 if elder else 500}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": _INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": expires_at,
        "audio": {
            "input": {
                "format": dict(_PCM),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": turns,
            },
            "output": {
                "format": dict(_PCM),
                "voice": "alloy" if elder else "marin",
                "speed": 1.0,
            },
        },
        "include": None,
    }


def update(settings: Settings, change: Any, *, spoke: bool) -> Settings:
    """Return the settings after a `session.update`; raises `RequestRefused` and changes nothing.

    `spoke` says that audio has been produced, from when on the voice stays.
    """
    checked = _SESSION(change, "session")
    if checked.get("model", settings["model"]) != settings["model"]:
        raise RequestRefused(
            "invalid_value", "The model of a session cannot be changed.", "session.model"
        )
    updated = _merge(settings, checked)
    if spoke and updated["audio"]["output"]["voice"] != settings["audio"]["output"]["voice"]:
        raise RequestRefused(
            "cannot_update_voice",
            "Cannot update a conversation's voice if assistant audio is present.",
        )
    return updated


def silence_ms(settings: Settings) -> int | None:
    """Return the silence that ends a turn, None when the client ends turns itself."""
    turns = settings["audio"]["input"]["turn_detection"]
    if turns is None:
        return None
    if turns["type"] == "semantic_vad":
        return SEMANTIC_SILENCE_MS[turns["eagerness"]]
    return int(turns["silence_duration_ms"])


def _merge(settings: Settings, checked: Settings) -> Settings:
    merged = copy.deepcopy(settings)
    audio = checked.pop("audio", {})
    for name, value in checked.items():
        merged[name] = _DEFAULTS.get(name) if value in (None, "") else value
    for side, change in audio.items():
        for name, value in change.items():
            merged["audio"][side][name] = _part(merged["audio"][side].get(name), name, value)
    return merged


def _part(before: Any, name: str, value: Any) -> Any:
    if name == "turn_detection" and value is not None:
        kind = value["type"]
        same = before is not None and before["type"] == kind
        start = before if same else _SERVER_VAD if kind == "server_vad" else _SEMANTIC_VAD
        return {**start, **value}
    if name == "transcription" and value is not None:
        start = before or {"model": _TRANSCRIBER, "language": None, "prompt": None}
        return {**start, **value}
    if name == "format":
        return dict(_PCM)
    return value


_DEFAULTS = {
    "instructions": _INSTRUCTIONS,
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "truncation": "auto",
}
"""What a field goes back to when the client clears it (recording ga03)."""

# ---- What one response shall be: the wishes of a `response.create` over the session's settings.


@dataclass(frozen=True, slots=True)
class Request:
    """What one response shall be.

    `input` replaces the conversation where it is not None; `in_conversation` is False for an
    out-of-band response, whose items join no conversation.
    """

    spoken: bool
    voice: str
    instructions: str
    max_output_tokens: int | str
    tools: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, str] | None = None
    in_conversation: bool = True
    input: tuple[CascadeItem, ...] | None = None


def request(settings: Settings, asked: Any, known: ItemList, new_id: NewId) -> Request:
    """Return the response that a `response.create` asks for; raises `RequestRefused`."""
    checked = _RESPONSE(asked, "response")
    output = checked.get("audio", {}).get("output", {})
    voice = output.get("voice") or settings["audio"]["output"]["voice"]
    modalities = checked.get("output_modalities") or settings["output_modalities"]
    given = checked.get("input")
    return Request(
        spoken=modalities == ["audio"],
        voice=voice if isinstance(voice, str) else voice["id"],
        instructions=checked.get("instructions") or settings["instructions"],
        max_output_tokens=checked.get("max_output_tokens") or settings["max_output_tokens"],
        tools=tuple(checked.get("tools") or settings["tools"]),
        metadata=checked.get("metadata"),
        in_conversation=checked.get("conversation", "auto") == "auto",
        input=None if given is None else tuple(_inputs(given, known, new_id)),
    )


def _inputs(given: list[dict[str, Any]], known: ItemList, new_id: NewId) -> list[CascadeItem]:
    found = []
    for index, value in enumerate(given):
        if value.get("type") == "item_reference":
            item_id = text(items.MAX_ID)(value.get("id"), f"response.input[{index}].id")
            found.append(known.get(item_id, "referencing", "invalid_value"))
        else:
            found.append(items.from_client(value, f"response.input[{index}]", new_id))
    return found


def _metadata(value: Any, path: str) -> dict[str, str]:
    check = text(512)
    return {text(64)(k, path): check(v, f"{path}.{k[:64]}") for k, v in thing(value, path).items()}


_RESPONSE = record(
    {
        **THINKING,
        "metadata": nullable(_metadata),
        "conversation": one_of("auto", "none"),
        "input": nullable(array(thing)),
        "audio": record({"output": VOICED}),
    }
)

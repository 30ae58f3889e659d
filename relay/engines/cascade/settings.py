"""The settings of a session and of one response, and how a client changes them (PROTOCOL §2)."""

import copy
from dataclasses import dataclass
from typing import Any

from relay.engines.cascade.effects import NewId, RequestRefused
from relay.engines.cascade.items import MAX_ID, CascadeItem, ItemList, from_client
from relay.engines.cascade.validation import (
    anything,
    array,
    boolean,
    either,
    integer,
    json_object,
    nullable,
    number,
    one_of,
    record,
    tagged,
    text,
)

Settings = dict[str, Any]

SESSION_SECONDS = 3600
"""The longest life of a session, as OpenAI has it."""

SEMANTIC_SILENCE_MS = {"low": 1200, "medium": 800, "auto": 800, "high": 400}
"""`semantic_vad` is carried out as `server_vad` that waits this long, by eagerness.

A sentence that does not look finished is waited for longer, whatever the eagerness.
"""

PREFIX_MS = 300
"""Audio before the voice that belongs to a turn, unless the client sets another length."""

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")

_INSTRUCTIONS = (
    "You are a friendly voice partner. Answer in one or two short sentences, in plain words, and "
    "say so when you did not understand."
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
_DEFAULTS = {
    "instructions": _INSTRUCTIONS,
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "truncation": "auto",
}
"""Values of fields that the client clears (recording ga03)."""

_MAX_MS = 600_000  # ten minutes: no duration a client may set is longer
_LEAST_IDLE_MS = 1_000  # a model that asks more often would talk to itself


def initial_settings(
    session_id: str, model: str, expires_at: int, instructions: str = ""
) -> Settings:
    """Return the full settings that `session.created` shows; the key order is OpenAI's."""
    older = model in ("gpt-realtime", "gpt-realtime-mini")
    turns = {**_SERVER_VAD, "silence_duration_ms": 200 if older else 500}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": instructions or _INSTRUCTIONS,
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
                "voice": "alloy" if older else "marin",
                "speed": 1.0,
            },
        },
        "include": None,
    }


def update_settings(settings: Settings, change: Any, *, spoke: bool) -> Settings:
    """Return the settings after a `session.update`; raises `RequestRefused` and changes nothing.

    `spoke` says that the assistant has produced audio: then its voice can no longer change.
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


def _merge(settings: Settings, checked: Settings) -> Settings:
    merged = copy.deepcopy(settings)
    audio = checked.pop("audio", {})
    for name, value in checked.items():
        merged[name] = _DEFAULTS.get(name) if value in (None, "") else value
    for side, change in audio.items():
        for name, value in change.items():
            merged["audio"][side][name] = _merged_field(
                merged["audio"][side].get(name), name, value
            )
    return merged


def _merged_field(before: Any, name: str, value: Any) -> Any:
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


# Accessors: what the settings of a session ask of its machine.


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """How a session finds turns, in ms of audio.

    `silence_ms` ends a turn, None when the client ends turns itself; `prefix_ms` is the audio
    before the voice that belongs to the turn.
    """

    silence_ms: int | None
    prefix_ms: int = 0


def turn_detection(settings: Settings) -> TurnDetection:
    """Return how the session finds turns."""
    turns = _turns(settings)
    return TurnDetection(_silence_ms(turns), turns.get("prefix_padding_ms", PREFIX_MS))


def interrupts_response(settings: Settings) -> bool:
    """Tell whether a voice stops the running response."""
    return bool(_turns(settings).get("interrupt_response"))


def creates_response(settings: Settings) -> bool:
    """Tell whether the end of a turn begins a response."""
    return bool(_turns(settings).get("create_response"))


def idle_timeout_ms(settings: Settings) -> int | None:
    """Return how long a user may say nothing before the model speaks, None for ever."""
    timeout: int | None = _turns(settings).get("idle_timeout_ms")
    return timeout


@dataclass(frozen=True, slots=True)
class Transcription:
    """How the user is transcribed.

    `model` is the client's choice; without one the client is told nothing, and the transcript
    serves the responder alone. `language` and `prompt` are hints.
    """

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


def transcription(settings: Settings) -> Transcription:
    """Return how the user is transcribed."""
    chosen = settings["audio"]["input"]["transcription"]
    if not chosen:
        return Transcription()
    return Transcription(str(chosen["model"]), chosen.get("language"), chosen.get("prompt"))


def _turns(settings: Settings) -> Settings:
    return settings["audio"]["input"]["turn_detection"] or {}


def _silence_ms(turns: Settings) -> int | None:
    if not turns:
        return None
    if turns["type"] == "semantic_vad":
        return SEMANTIC_SILENCE_MS[turns["eagerness"]]
    return int(turns["silence_duration_ms"])


# One response: the overrides of its `response.create` applied to the session's settings.


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """The settings of one response.

    `spoken` is False for a response in text. `input` replaces the conversation where it is not
    None; `in_conversation` is False for an out-of-band response, whose items join no conversation.
    """

    spoken: bool
    voice: str
    instructions: str
    max_output_tokens: int | str
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] = "auto"
    speed: float = 1.0
    metadata: dict[str, str] | None = None
    in_conversation: bool = True
    input: tuple[CascadeItem, ...] | None = None


def response_request(
    settings: Settings, overrides: Any, items: ItemList, new_id: NewId
) -> ResponseRequest:
    """Return the response that a `response.create` with these `overrides` asks for.

    `items` are the conversation's, which `input` may refer to. Raises `RequestRefused`.
    """
    checked = _RESPONSE(overrides, "response")
    output = checked.get("audio", {}).get("output", {})
    voice = output.get("voice") or settings["audio"]["output"]["voice"]
    modalities = checked.get("output_modalities") or settings["output_modalities"]
    given = checked.get("input")
    return ResponseRequest(
        spoken=modalities == ["audio"],
        voice=voice if isinstance(voice, str) else voice["id"],
        instructions=checked.get("instructions") or settings["instructions"],
        max_output_tokens=checked.get("max_output_tokens") or settings["max_output_tokens"],
        tools=tuple(checked.get("tools") or settings["tools"]),
        tool_choice=checked.get("tool_choice") or settings["tool_choice"],
        speed=settings["audio"]["output"]["speed"],
        metadata=checked.get("metadata"),
        in_conversation=checked.get("conversation", "auto") == "auto",
        input=None if given is None else tuple(_inputs(given, items, new_id)),
    )


def _inputs(given: list[dict[str, Any]], items: ItemList, new_id: NewId) -> list[CascadeItem]:
    found = []
    for index, value in enumerate(given):
        if value.get("type") == "item_reference":
            item_id = text(MAX_ID)(value.get("id"), f"response.input[{index}].id")
            found.append(items.get(item_id, "referencing", "invalid_value"))
        else:
            found.append(from_client(value, f"response.input[{index}]", new_id))
    return found


# Shapes of what a client may set.

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
    tool = json_object(value, path)
    first = ("type", "name", "description", "parameters")  # as a session shows them
    return {**{key: tool[key] for key in first if key in tool}, **tool}


_SHARED_FIELDS = {
    "output_modalities": _modalities,
    "instructions": nullable(text()),
    "tools": nullable(array(_tool, 128)),
    "tool_choice": nullable(either(json_object, text(64))),
    "max_output_tokens": nullable(either(one_of("inf"), integer(1, 4096))),
    "prompt": nullable(json_object),
    "reasoning": nullable(json_object),
    "parallel_tool_calls": nullable(boolean),
}
"""Fields of both a session and a single response."""

_AUDIO_OUTPUT = record({"format": _FORMAT, "voice": _VOICE})

_SESSION = record(
    {
        "type": one_of("realtime"),
        "model": text(128),
        **_SHARED_FIELDS,
        "tracing": nullable(either(json_object, one_of("auto"))),
        "truncation": nullable(either(json_object, one_of("auto", "disabled"))),
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


def _metadata(value: Any, path: str) -> dict[str, str]:
    check = text(512)
    return {
        text(64)(k, path): check(v, f"{path}.{k[:64]}") for k, v in json_object(value, path).items()
    }


_RESPONSE = record(
    {
        **_SHARED_FIELDS,
        "metadata": nullable(_metadata),
        "conversation": one_of("auto", "none"),
        "input": nullable(array(json_object)),
        "audio": record({"output": _AUDIO_OUTPUT}),
    }
)

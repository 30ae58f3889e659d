"""The items of one conversation: what they look like, their order, and the audio they keep."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.engines.offline.ids import NewId
from relay.engines.offline.refusals import Refusal
from relay.engines.offline.shapes import (
    anything,
    array,
    boolean,
    nullable,
    one_of,
    record,
    tagged,
    text,
    thing,
)

BYTES_PER_MS = 48
"""PCM16, mono, 24 kHz."""

MAX_ID = 32
"""Characters in an id that a client chooses, as OpenAI has it."""

_MAX_AUDIO_BASE64 = 20 << 20  # characters of one audio field: OpenAI's 15 MiB


@dataclass(slots=True, eq=False)
class Item:
    """One item: `body` as it stands on the wire, and what only the server knows of it.

    `words` is what the brain is given: None while the transcript is awaited, and what came of it
    where the item is a tool's. `audio` is PCM and
    may have been forgotten to save memory; `audio_ms` is how long it was. `bulk` is about how many
    bytes the rest takes.
    """

    body: dict[str, Any]
    words: str | None = ""
    audio: bytes = b""
    audio_ms: int = 0
    bulk: int = 512

    @property
    def id(self) -> str:
        """Return the item's id."""
        return str(self.body["id"])

    @property
    def role(self) -> str | None:
        """Return `user`, `assistant` or `system`, None for what is not a message."""
        return self.body.get("role")

    @property
    def prompts(self) -> bool:
        """Tell whether an answer may be about it: what a user said, or what a tool gave back."""
        return self.role == "user" or self.body["type"] in ("function_call_output", "mcp_call")

    @property
    def weight(self) -> int:
        """Return about how many bytes this item holds on to."""
        return len(self.audio) + len(self.words or "") + self.bulk


def spoken_by_user(item_id: str, pcm: bytes) -> Item:
    """Return the item that a committed audio buffer becomes."""
    content = [{"type": "input_audio", "transcript": None}]
    body = _message(item_id, "user", content)
    return Item(body, words=None, audio=pcm, audio_ms=len(pcm) // BYTES_PER_MS)


def answer(item_id: str, phase: str | None = None) -> Item:
    """Return the item that an answer begins as; `phase` where the model tells one."""
    body = _message(item_id, "assistant", [])
    body["status"] = "in_progress"
    return Item(body if phase is None else {**body, "phase": phase})


def snapshot(body: dict[str, Any]) -> dict[str, Any]:
    """Return an item's body as it is now: later changes to it belong to later events."""
    if "content" not in body:
        return dict(body)
    return {**body, "content": [dict(part) for part in body["content"]]}


def retrieved(item: Item) -> dict[str, Any]:
    """Return the item as `conversation.item.retrieved` shows it: with its audio."""
    content = item.body.get("content")
    if not item.audio or not content:
        return item.body
    sound = base64.b64encode(item.audio).decode()
    shown = [{**part, "audio": sound} if _is_audio(part) else part for part in content]
    return {**item.body, "content": shown}


def truncate(item: Item, audio_end_ms: int) -> None:
    """Cut an answer to what was heard; its transcript is gone, as with OpenAI (PROTOCOL 5.4)."""
    content = item.body.get("content") or [{}]
    if item.role != "assistant" or not _is_audio(content[0]):
        raise Refusal(
            "unsupported_content_type", "Only model output audio messages can be truncated"
        )
    if audio_end_ms > item.audio_ms:
        message = f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms"
        raise Refusal(None, message)
    item.audio = item.audio[: audio_end_ms * BYTES_PER_MS]
    item.audio_ms = audio_end_ms
    content[0].pop("transcript", None)


def from_client(value: Any, path: str, new_id: NewId) -> Item:
    """Return the item a client wants to create; raises `Refusal`."""
    checked = _ITEM(value, path)
    item_id = checked.get("id") or new_id("item")
    if checked["type"] != "message":
        body = {"id": item_id, **checked}
        if checked["type"] == "function_call":
            body.setdefault("status", "completed")
        return Item(body, checked.get("output", ""), bulk=len(msgspec.json.encode(body)))
    kinds = _CONTENT[checked["role"]]
    content = array(tagged(kinds))(checked["content"], f"{path}.content")
    return _written(item_id, checked["role"], content, f"{path}.content")


def _written(item_id: str, role: str, content: list[dict[str, Any]], path: str) -> Item:
    words = [str(part.get("text") or part.get("transcript") or "") for part in content]
    audio = b"".join(_pcm(part, f"{path}[{i}].audio") for i, part in enumerate(content))
    shown = [_shown(part) for part in content]
    item = Item(_message(item_id, role, shown), words=" ".join(filter(None, words)), audio=audio)
    item.bulk = len(msgspec.json.encode(shown))
    item.audio_ms = len(audio) // BYTES_PER_MS
    if role == "user" and audio and not item.words:
        item.words = None
    return item


def _pcm(part: dict[str, Any], path: str) -> bytes:
    try:
        return binascii.a2b_base64(part.get("audio") or "", strict_mode=True)
    except ValueError as error:
        raise Refusal("invalid_value", f"Invalid '{path}': not base64.", path) from error


def _shown(part: dict[str, Any]) -> dict[str, Any]:
    if not _is_audio(part):
        return part
    return {"type": part["type"], "transcript": part.get("transcript")}


def _is_audio(part: dict[str, Any]) -> bool:
    return part.get("type") in ("input_audio", "output_audio")


def _message(item_id: str, role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": role,
        "content": content,
    }


_STATUS = one_of("completed", "incomplete", "in_progress")
_COMMON = {
    "id": nullable(text(MAX_ID)),
    "type": anything,
    "object": one_of("realtime.item"),
    "status": _STATUS,
}
_INPUT_TEXT = record({"type": anything, "text": text()}, required=("text",))
_SOUND = text(_MAX_AUDIO_BASE64)
_CONTENT = {
    "user": {
        "input_text": _INPUT_TEXT,
        "input_audio": record(
            {"type": anything, "audio": _SOUND, "transcript": nullable(text())},
            required=("audio",),
        ),
        "input_image": record(
            {"type": anything, "image_url": _SOUND, "detail": text(16)}, required=("image_url",)
        ),
    },
    "assistant": {
        "output_text": record({"type": anything, "text": text()}, required=("text",)),
        "output_audio": record(
            {"type": anything, "audio": nullable(_SOUND), "transcript": nullable(text())}
        ),
    },
    "system": {"input_text": _INPUT_TEXT},
}
_ITEM = tagged(
    {
        "message": record(
            {**_COMMON, "role": one_of(*_CONTENT), "content": array(thing), "phase": text(32)},
            required=("role", "content"),
        ),
        "function_call": record(
            {**_COMMON, "name": text(128), "call_id": text(128), "arguments": text()},
            required=("name", "arguments"),
        ),
        "function_call_output": record(
            {**_COMMON, "call_id": text(128), "output": text()}, required=("call_id", "output")
        ),
        "mcp_approval_response": record(
            {**_COMMON, "approval_request_id": text(128), "approve": boolean, "reason": text()},
            required=("approval_request_id", "approve"),
        ),
    }
)

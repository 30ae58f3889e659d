"""The items of one conversation: what they look like, their order, and the audio they keep."""

import base64
import binascii
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.engines.cascade.effects import NewId, RequestRefused
from relay.engines.cascade.validation import (
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
class CascadeItem:
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


def spoken_by_user(item_id: str, pcm: bytes) -> CascadeItem:
    """Return the item that a committed audio buffer becomes."""
    content = [{"type": "input_audio", "transcript": None}]
    body = _message(item_id, "user", content)
    return CascadeItem(body, words=None, audio=pcm, audio_ms=len(pcm) // BYTES_PER_MS)


def answer(item_id: str, phase: str | None = None) -> CascadeItem:
    """Return the item that an answer begins as; `phase` where the model tells one."""
    body = _message(item_id, "assistant", [])
    body["status"] = "in_progress"
    return CascadeItem(body if phase is None else {**body, "phase": phase})


def snapshot(body: dict[str, Any]) -> dict[str, Any]:
    """Return an item's body as it is now: later changes to it belong to later events."""
    if "content" not in body:
        return dict(body)
    return {**body, "content": [dict(part) for part in body["content"]]}


def retrieved(item: CascadeItem) -> dict[str, Any]:
    """Return the item as `conversation.item.retrieved` shows it: with its audio."""
    content = item.body.get("content")
    if not item.audio or not content:
        return item.body
    sound = base64.b64encode(item.audio).decode()
    shown = [{**part, "audio": sound} if _is_audio(part) else part for part in content]
    return {**item.body, "content": shown}


def truncate(item: CascadeItem, audio_end_ms: int) -> None:
    """Cut an answer to what was heard; its transcript is gone, as with OpenAI (PROTOCOL §5.4)."""
    content = item.body.get("content") or [{}]
    if item.role != "assistant" or not _is_audio(content[0]):
        raise RequestRefused(
            "unsupported_content_type", "Only model output audio messages can be truncated"
        )
    if audio_end_ms > item.audio_ms:
        message = f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms"
        raise RequestRefused(None, message)
    item.audio = item.audio[: audio_end_ms * BYTES_PER_MS]
    item.audio_ms = audio_end_ms
    content[0].pop("transcript", None)


def from_client(value: Any, path: str, new_id: NewId) -> CascadeItem:
    """Return the item a client wants to create; raises `RequestRefused`."""
    checked = _ITEM(value, path)
    item_id = checked.get("id") or new_id("item")
    if checked["type"] != "message":
        body = {"id": item_id, **checked}
        if checked["type"] == "function_call":
            body.setdefault("status", "completed")
        return CascadeItem(body, checked.get("output", ""), bulk=len(msgspec.json.encode(body)))
    kinds = _CONTENT[checked["role"]]
    content = array(tagged(kinds))(checked["content"], f"{path}.content")
    return _written(item_id, checked["role"], content, f"{path}.content")


def _written(item_id: str, role: str, content: list[dict[str, Any]], path: str) -> CascadeItem:
    words = [str(part.get("text") or part.get("transcript") or "") for part in content]
    audio = b"".join(_pcm(part, f"{path}[{i}].audio") for i, part in enumerate(content))
    shown = [_shown(part) for part in content]
    item = CascadeItem(
        _message(item_id, role, shown), words=" ".join(filter(None, words)), audio=audio
    )
    item.bulk = len(msgspec.json.encode(shown))
    item.audio_ms = len(audio) // BYTES_PER_MS
    if role == "user" and audio and not item.words:
        item.words = None
    return item


def _pcm(part: dict[str, Any], path: str) -> bytes:
    try:
        return binascii.a2b_base64(part.get("audio") or "", strict_mode=True)
    except ValueError as error:
        raise RequestRefused("invalid_value", f"Invalid '{path}': not base64.", path) from error


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

# ---- The order of a conversation's items, and how much of it is remembered.

MAX_ITEMS = 1000
"""Items remembered; the eldest are forgotten without a word, as a model's context does."""

MAX_BYTES = 16 << 20
"""Bytes of audio and text remembered (nearly six minutes of PCM); the largest append fits."""


class ItemList:
    """A list of items with OpenAI's `previous_item_id` rules.

    `turns` counts the user's messages: spoken, typed and seeded ones.
    """

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.turns = 0
        self._items: dict[str, CascadeItem] = {}
        self._order: list[str] = []

    def __iter__(self) -> Iterator[CascadeItem]:
        """Go through the items in conversation order."""
        return (self._items[item_id] for item_id in self._order)

    @property
    def last_id(self) -> str | None:
        """Return the id of the item that the next one follows."""
        return self._order[-1] if self._order else None

    def get(self, item_id: str, doing: str, code: str) -> CascadeItem:
        """Return an item; raises `RequestRefused` that says what could not be done with it."""
        if item_id not in self._items:
            message = f"Error {doing} item: the item with id '{item_id[:MAX_ID]}' does not exist."
            raise RequestRefused(code, message, "item_id")
        return self._items[item_id]

    def place(self, previous: str | None) -> int:
        """Return where an item that shall follow `previous` goes; raises `RequestRefused`.

        None appends, "root" puts it first.
        """
        if previous is None:
            return len(self._order)
        if previous == "root":
            return 0
        self.get(previous, "creating", "item_create_invalid_previous_item_id")
        return self._order.index(previous) + 1

    def add(self, item: CascadeItem, place: int | None = None) -> str | None:
        """Put an item in its place (the end); returns the id of the one before it."""
        if item.id in self._items:
            message = f"Error adding item: the item with id '{item.id}' already exists."
            raise RequestRefused("item_create_duplicate_item_id", message, "item.id")
        position = len(self._order) if place is None else place
        self._items[item.id] = item
        self._order.insert(position, item.id)
        self.turns += item.role == "user"
        previous = self._order[position - 1] if position else None
        self.trim()
        return previous

    def delete(self, item: CascadeItem) -> None:
        """Forget an item."""
        self._items.pop(item.id, None)
        if item.id in self._order:
            self._order.remove(item.id)

    def before(self, item: CascadeItem) -> str | None:
        """Return what `conversation.item.done` says stands before a generated item.

        It is null for a conversation's second item, a quirk of OpenAI's server (PROTOCOL §5.3).
        """
        position = self._order.index(item.id) if item.id in self._items else 0
        return self._order[position - 1] if position > 1 else None

    def trim(self) -> None:
        """Forget the eldest audio, then the eldest items, when there is too much."""
        excess = sum(item.weight for item in self) - MAX_BYTES
        for item in self:
            if excess <= 0:
                break
            excess -= len(item.audio)
            item.audio = b""
        while len(self._order) > MAX_ITEMS or (excess > 0 and len(self._order) > 1):
            eldest = self._items.pop(self._order.pop(0))
            excess -= eldest.weight


# ---- What a response used, in tokens derived from the real amounts (PROTOCOL §8).

_INPUT_MS = 100  # ms of audio in one input token
_OUTPUT_MS = 50  # ms of audio in one output token
_BLOCK = 64  # tokens are cached in blocks of so many, of each kind
_CHARACTERS = 4  # about that many characters of text in one token


def text_tokens(text: str) -> int:
    """Return about how many tokens a text is."""
    return math.ceil(len(text) / _CHARACTERS)


def taken_in(instructions: str, items: Iterable[CascadeItem]) -> tuple[int, int]:
    """Return the text and audio tokens that the whole conversation is."""
    text, audio_ms = text_tokens(instructions), 0
    for item in items:
        audio_ms += item.audio_ms
        text += 0 if item.audio_ms else text_tokens(item.words or "")
    return text, math.ceil(audio_ms / _INPUT_MS)


def of_response(
    taken: tuple[int, int], words: int, audio_ms: int, *, first: bool = True
) -> dict[str, Any]:
    """Return the `usage` of `response.done`; all zero where nothing was put out.

    From a session's second response on, whole blocks of what is taken in were cached, as in every
    recording.
    """
    spoken = math.ceil(audio_ms / _OUTPUT_MS)
    text_in, audio_in = taken if words or spoken else (0, 0)
    text_cached, audio_cached = (0 if first else n - n % _BLOCK for n in (text_in, audio_in))
    return {
        "total_tokens": text_in + audio_in + words + spoken,
        "input_tokens": text_in + audio_in,
        "output_tokens": words + spoken,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": text_cached + audio_cached,
            "cached_tokens_details": {
                "text_tokens": text_cached,
                "audio_tokens": audio_cached,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": words, "audio_tokens": spoken},
    }


def of_transcription(model: str, audio_ms: int, words: int) -> dict[str, Any]:
    """Return the `usage` of a transcript: by tokens for gpt-4o models, else by seconds."""
    if not model.startswith("gpt-4o"):
        return {"type": "duration", "seconds": math.ceil(audio_ms / 1000)}
    heard = math.ceil(audio_ms / _INPUT_MS)
    return {
        "type": "tokens",
        "total_tokens": heard + words,
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": words,
    }

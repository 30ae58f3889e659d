"""The items of one conversation: their bodies, their order and audio, and the tokens they cost."""

import base64
import binascii
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.engines.cascade.effects import Event, NewId, RequestRefused
from relay.engines.cascade.validation import (
    anything,
    array,
    boolean,
    json_object,
    nullable,
    one_of,
    record,
    tagged,
    text,
)
from relay.parts.interfaces import (
    CallOutput,
    HistoryEntry,
    MadeCall,
    Message,
    PartFailed,
    ReplyRequest,
    TokenUsage,
)

BYTES_PER_MS = 48
"""PCM16, mono, 24 kHz."""

MAX_ID = 32
"""Characters in an id that a client chooses, as OpenAI has it."""

MAX_ITEMS = 1000
"""Items kept; the oldest are dropped without an event, as from a model's context."""

MAX_BYTES = 16 << 20
"""Bytes of audio and text kept (nearly six minutes of PCM); the largest append fits."""

_MAX_AUDIO_BASE64 = 20 << 20  # characters of one audio field: OpenAI's 15 MiB


@dataclass(slots=True, eq=False)
class CascadeItem:
    """One item: `body` as it stands on the wire, and what only the server knows of it.

    `words` is the text for the responder: a message's as far as it was heard, None while its
    transcript is awaited, or the output of a tool. `audio` is PCM and may have been dropped to save
    memory; `audio_ms` is how long it was. `spoken` are the words of an answer, each with the ms
    that they took to say. `failure` is why there is no transcript, `truncated` whether the
    client has said what was heard. `bulk` is about how many bytes
    the rest takes.
    """

    body: dict[str, Any]
    words: str | None = ""
    audio: bytes = b""
    audio_ms: int = 0
    spoken: Sequence[tuple[Sequence[str], int]] = ()
    failure: PartFailed | None = None
    truncated: bool = False
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
    def can_prompt(self) -> bool:
        """Tell whether a reply can answer it: a user's message, or the output of a tool."""
        return self.role == "user" or self.body["type"] in ("function_call_output", "mcp_call")

    def hear(self, ms: int) -> None:
        """Cut the words for the responder to those that were said in the first ms of its audio.

        Words that a client brought with audio of its own stay: nobody knows when they are said.
        """
        if not self.spoken:
            return
        heard: list[str] = []
        for words, took_ms in self.spoken:
            if ms >= took_ms:
                heard += words
            else:
                heard += words[: len(words) * max(ms, 0) // took_ms]
                break
            ms -= took_ms
        self.words = "".join(heard).strip()

    @property
    def weight(self) -> int:
        """Return about how many bytes of memory this item takes."""
        return len(self.audio) + len(self.words or "") + self.bulk


class ItemList:
    """The items in conversation order, with OpenAI's `previous_item_id` rules.

    `turns` counts the user's messages: spoken, typed and seeded ones.
    """

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.turns = 0
        self._items: dict[str, CascadeItem] = {}
        self._order: list[str] = []

    def __iter__(self) -> Iterator[CascadeItem]:
        """Iterate in conversation order."""
        return (self._items[item_id] for item_id in self._order)

    @property
    def last_id(self) -> str | None:
        """Return the id of the item that the next one follows."""
        return self._order[-1] if self._order else None

    def get(self, item_id: str, doing: str, code: str) -> CascadeItem:
        """Return an item; raises `RequestRefused` with this `code`, "Error {doing} item: …"."""
        if item_id not in self._items:
            message = f"Error {doing} item: the item with id '{item_id[:MAX_ID]}' does not exist."
            raise RequestRefused(code, message, "item_id")
        return self._items[item_id]

    def place(self, previous: str | None) -> int:
        """Return the position of an item that follows `previous`; raises `RequestRefused`.

        None appends, "root" puts it first.
        """
        if previous is None:
            return len(self._order)
        if previous == "root":
            return 0
        self.get(previous, "creating", "item_create_invalid_previous_item_id")
        return self._order.index(previous) + 1

    def add(self, item: CascadeItem, place: int | None = None) -> str | None:
        """Insert an item, at the end by default; returns the id of the one before it."""
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
        """Remove an item."""
        self._items.pop(item.id, None)
        if item.id in self._order:
            self._order.remove(item.id)

    def previous_when_done(self, item: CascadeItem) -> str | None:
        """Return the `previous_item_id` of a generated item's `conversation.item.done`.

        It is null for a conversation's second item, a quirk of OpenAI's server (PROTOCOL §5.3).
        """
        position = self._order.index(item.id) if item.id in self._items else 0
        return self._order[position - 1] if position > 1 else None

    def trim(self) -> None:
        """Drop the oldest audio, then the oldest items, when there is too much."""
        excess = sum(item.weight for item in self) - MAX_BYTES
        for item in self:
            if excess <= 0:
                break
            excess -= len(item.audio)
            item.audio = b""
        while len(self._order) > MAX_ITEMS or (excess > 0 and len(self._order) > 1):
            oldest = self._items.pop(self._order.pop(0))
            excess -= oldest.weight


def user_audio(item_id: str, pcm: bytes) -> CascadeItem:
    """Return the item of a committed audio buffer."""
    content = [{"type": "input_audio", "transcript": None}]
    body = _message(item_id, "user", content)
    return CascadeItem(body, words=None, audio=pcm, audio_ms=len(pcm) // BYTES_PER_MS)


def assistant_message(item_id: str, phase: str | None = None) -> CascadeItem:
    """Return an assistant's message as it begins; `phase` where the model tells one."""
    body = _message(item_id, "assistant", [])
    body["status"] = "in_progress"
    return CascadeItem(body if phase is None else {**body, "phase": phase})


def system_message(item_id: str, text: str) -> CascadeItem:
    """Return a message of the system."""
    content = [{"type": "input_text", "text": text}]
    return CascadeItem(_message(item_id, "system", content), words=text)


def snapshot(body: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of an item's body, which later changes do not reach."""
    if "content" not in body:
        return dict(body)
    return {**body, "content": [dict(part) for part in body["content"]]}


def body_with_audio(item: CascadeItem) -> dict[str, Any]:
    """Return the body for `conversation.item.retrieved`: with its audio."""
    content = item.body.get("content")
    if not item.audio or not content:
        return item.body
    sound = base64.b64encode(item.audio).decode()
    shown = [{**part, "audio": sound} if _is_audio(part) else part for part in content]
    return {**item.body, "content": shown}


def truncate(item: CascadeItem, audio_end_ms: int) -> None:
    """Cut an answer to the audio that was heard, and drop its transcript (PROTOCOL §5.4).

    The responder keeps the words that were heard. Raises `RequestRefused`.
    """
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
    item.hear(audio_end_ms)
    item.truncated = True
    content[0].pop("transcript", None)


def from_client(value: Any, path: str, new_id: NewId) -> CascadeItem:
    """Return the item of a client's JSON at `path`; raises `RequestRefused`."""
    checked = _ITEM(value, path)
    item_id = checked.get("id") or new_id("item")
    if checked["type"] != "message":
        body = {"id": item_id, **checked}
        if checked["type"] == "function_call":
            body.setdefault("status", "completed")
        return CascadeItem(body, checked.get("output", ""), bulk=len(msgspec.json.encode(body)))
    kinds = _CONTENT[checked["role"]]
    content = array(tagged(kinds))(checked["content"], f"{path}.content")
    return _message_from_client(item_id, checked["role"], content, f"{path}.content")


def _message_from_client(
    item_id: str, role: str, content: list[dict[str, Any]], path: str
) -> CascadeItem:
    words = [str(part.get("text") or part.get("transcript") or "") for part in content]
    audio = b"".join(_pcm(part, f"{path}[{i}].audio") for i, part in enumerate(content))
    shown = [_shown(part) for part in content]
    item = CascadeItem(_message(item_id, role, shown), " ".join(filter(None, words)), audio)
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
            {
                **_COMMON,
                "role": one_of(*_CONTENT),
                "content": array(json_object),
                "phase": text(32),
            },
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


# What the responder is told of a conversation.

MAX_HISTORY_TOKENS = 6_000
"""Estimated tokens of the conversation that a responder is given; the newest entries fit first."""


def history(items: Iterable[CascadeItem]) -> tuple[HistoryEntry, ...]:
    """Return the conversation for a responder: what was said, typed and heard, oldest first.

    What has no words is left out, except the message to be answered.
    """
    known = list(items)
    prompt = next((item for item in reversed(known) if item.can_prompt), None)
    entries: list[HistoryEntry] = []
    tokens = 0
    for item in reversed(known):
        told = _entries(item, prompted=item is prompt)
        tokens += sum(text_tokens(_text(entry)) + _ENTRY_TOKENS for entry in told)
        if tokens > MAX_HISTORY_TOKENS and entries:
            break
        entries += reversed(told)
    return tuple(reversed(entries))


_ENTRY_TOKENS = 4  # for who said it


def _entries(item: CascadeItem, *, prompted: bool) -> list[HistoryEntry]:
    body, words = item.body, item.words or ""
    match body["type"]:
        case "message":
            audio = item.audio if prompted else b""
            role = body["role"]
            return [Message(role, words, audio)] if words or prompted else []
        case "function_call":
            return [MadeCall(body.get("call_id", ""), body["name"], body["arguments"])]
        case "function_call_output":
            return [CallOutput(body["call_id"], body["output"])]
        case "mcp_call" if body["output"] is not None:
            call = MadeCall(item.id, body["name"], body["arguments"])
            return [call, CallOutput(item.id, body["output"])]
    return []


def _text(entry: HistoryEntry) -> str:
    match entry:
        case Message():
            return entry.text
        case MadeCall():
            return entry.arguments
        case CallOutput():
            return entry.output


# Usage, in tokens derived from the real amounts of text and audio (PROTOCOL §8).

_INPUT_MS = 100  # ms of audio in one input token
_OUTPUT_MS = 50  # ms of audio in one output token
_BLOCK = 64  # tokens are cached in blocks of so many, of each kind
_CHARACTERS = 4  # about that many characters of text in one token


def text_tokens(text: str) -> int:
    """Return about how many tokens a text takes."""
    return characters_as_tokens(len(text))


def characters_as_tokens(count: int) -> int:
    """Return about how many tokens a text of so many characters takes."""
    return math.ceil(count / _CHARACTERS)


def request_tokens(request: ReplyRequest) -> int:
    """Return about how many tokens a responder reads to answer a request."""
    described = sum(
        len(t.name) + len(t.description) + len(str(t.parameters)) for t in request.tools
    )
    told = sum(text_tokens(_text(entry)) + _ENTRY_TOKENS for entry in request.history)
    return text_tokens(request.instructions) + characters_as_tokens(described) + told


def input_tokens(instructions: str, items: Iterable[CascadeItem]) -> tuple[int, int]:
    """Return the text and audio tokens of a response's input."""
    text, audio_ms = text_tokens(instructions), 0
    for item in items:
        audio_ms += item.audio_ms
        text += 0 if item.audio_ms else text_tokens(item.words or "")
    return text, math.ceil(audio_ms / _INPUT_MS)


def response_usage(
    taken: tuple[int, int], words: int, audio_ms: int, *, first: bool = True
) -> dict[str, Any]:
    """Return the `usage` of `response.done`; all zero without any output.

    `taken` are the `input_tokens`. From a session's second response on, whole blocks of them count
    as cached, as in every recording.
    """
    spoken = math.ceil(audio_ms / _OUTPUT_MS)
    text_in, audio_in = taken if words or spoken else (0, 0)
    text_cached, audio_cached = (0 if first else n - n % _BLOCK for n in (text_in, audio_in))
    return _usage((text_in, audio_in), (text_cached, audio_cached), (words, spoken))


def counted_usage(tokens: TokenUsage, audio_ms: int) -> dict[str, Any]:
    """Return the `usage` of `response.done` with the tokens that a responder counted."""
    spoken = math.ceil(audio_ms / _OUTPUT_MS)
    return _usage((tokens.input, 0), (tokens.cached, 0), (tokens.output, spoken))


def _usage(taken: tuple[int, int], cached: tuple[int, int], given: tuple[int, int]) -> Event:
    """Return the usage of so many tokens of text and audio."""
    return {
        "total_tokens": sum(taken) + sum(given),
        "input_tokens": sum(taken),
        "output_tokens": sum(given),
        "input_token_details": {
            "text_tokens": taken[0],
            "audio_tokens": taken[1],
            "image_tokens": 0,
            "cached_tokens": sum(cached),
            "cached_tokens_details": {
                "text_tokens": cached[0],
                "audio_tokens": cached[1],
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": given[0], "audio_tokens": given[1]},
    }


def transcription_usage(model: str, audio_ms: int, words: int) -> dict[str, Any]:
    """Return the `usage` of a transcript: tokens for gpt-4o models, else seconds."""
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

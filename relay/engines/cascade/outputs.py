"""What one response puts out, item by item: a message's events from its first to its last."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from relay.engines.cascade import items
from relay.engines.cascade.effects import EffectBuffer, padding
from relay.engines.cascade.items import BYTES_PER_MS, CascadeItem, ItemList, snapshot
from relay.parts.interfaces import FunctionCall, McpCall, Servers, SpokenMessage, as_json

# ---- How an answer leaves: its words ahead of its sound, in pieces, at the pace of a real model.

CHUNK_MS = 250
"""What one `response.output_audio.delta` holds (WIRE §2)."""

_CHUNK = CHUNK_MS * BYTES_PER_MS
_LEAD = 3  # words that are sent before the sound that speaks them
_WORD = re.compile(r"\s*\S+|\s+$")
_TOKEN = re.compile(r"\w+|\W+")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an answer comes.

    `burst` is how many times faster than it is heard audio is sent (OpenAI: 5 to 12, WIRE §2),
    `text_seconds` lie between two pieces of a text answer, `delay_seconds` before the first piece.
    """

    burst: float = 5.0
    text_seconds: float = 0.01
    delay_seconds: float = 0.0


def split(text: str) -> list[str]:
    """Return the words with the space before them; joined they are the text again."""
    return _WORD.findall(text)


def split_json(text: str) -> list[str]:
    """Return JSON in pieces about as large as a model's tokens; joined they are the text again."""
    return _TOKEN.findall(text)


class OutputDelivery:
    """What one output says, on its way out: `take` piece after piece, `step` seconds apart."""

    def __init__(self, words: list[str], pcm: bytes | None, pace: Pace) -> None:
        self._words = words
        self._pcm = pcm
        self._sent_words = 0
        self._sent_bytes = 0
        self.step = pace.text_seconds if pcm is None else CHUNK_MS / 1000 / pace.burst

    @property
    def finished(self) -> bool:
        """Tell whether all is sent."""
        return self._sent_words == len(self._words) and self._sent_bytes == len(self._pcm or b"")

    @property
    def said(self) -> str:
        """Return the words sent so far."""
        return "".join(self._words[: self._sent_words])

    @property
    def words(self) -> int:
        """Return how many words were sent so far."""
        return self._sent_words

    @property
    def audio_bytes(self) -> int:
        """Return how much sound was sent so far."""
        return self._sent_bytes

    @property
    def audio(self) -> bytes:
        """Return the sound sent so far."""
        return (self._pcm or b"")[: self._sent_bytes]

    def take(self) -> list[str | bytes]:
        """Return what leaves together: words as text, then sound as bytes."""
        if self._pcm is None:
            return list(self._words_until(self._sent_words + 1))
        end = min(self._sent_bytes + _CHUNK, len(self._pcm))
        spoken = end / len(self._pcm) if self._pcm else 1.0
        pieces: list[str | bytes] = []
        pieces += self._words_until(int(spoken * len(self._words)) + _LEAD)
        if end > self._sent_bytes:
            pieces.append(self._pcm[self._sent_bytes : end])
            self._sent_bytes = end
        return pieces

    def _words_until(self, count: int) -> list[str]:
        words = self._words[self._sent_words : count]
        self._sent_words += len(words)
        return words


# ---- The MCP servers of a session: what they offer, and whether a call of theirs must be approved.


class Listing:
    """Which servers a session was told of, and what the client was told of them (PROTOCOL §4.7)."""

    def __init__(self, servers: Servers, conversation: ItemList, out: EffectBuffer) -> None:
        self._servers = servers
        self._conversation = conversation
        self._out = out
        self._listed: set[str] = set()

    def update(self, tools: Sequence[dict[str, Any]]) -> None:
        """List the servers that a session's tools name for the first time."""
        labels = [tool.get("server_label") for tool in tools if tool.get("type") == "mcp"]
        for label in labels:
            if isinstance(label, str) and label not in self._listed:
                self._listed.add(label)
                self._list(label)

    def _list(self, label: str) -> None:
        body = {"id": self._out.new_id("mcpl"), "type": "mcp_list_tools"}
        item = CascadeItem({**body, "server_label": label, "tools": []})
        previous = self._conversation.add(item)
        shown = snapshot(item.body)
        self._out.emit("conversation.item.added", previous_item_id=previous, item=shown)
        self._out.emit("mcp_list_tools.in_progress", item_id=item.id)
        offered = self._servers.get(label)
        if offered is None:
            self._out.emit("mcp_list_tools.failed", item_id=item.id)
        else:
            item.body["tools"] = [{"input_schema": {"type": "object"}, **tool} for tool in offered]
            self._out.emit("mcp_list_tools.completed", item_id=item.id)
        shown = snapshot(item.body)
        self._out.emit("conversation.item.done", previous_item_id=previous, item=shown)


def needs_approval(tools: Sequence[dict[str, Any]], label: str, name: str) -> bool:
    """Tell whether the client wants to be asked before this tool is called, which is the default.

    `require_approval` is `always`, `never`, or says so by the names of tools.
    """
    for tool in tools:
        if tool.get("type") == "mcp" and tool.get("server_label") == label:
            wish = tool.get("require_approval") or "always"
            if isinstance(wish, dict):
                return not _names(wish.get("never"), name)
            return bool(wish != "never")
    return False


def _names(these: Any, name: str) -> bool:
    named = these.get("tool_names") if isinstance(these, dict) else None
    return isinstance(named, list) and name in named


@dataclass(frozen=True, slots=True)
class Slot:
    """Where in a response an item stands, and how it is told of.

    `conversation` is None for an out-of-band response, whose items join none.
    """

    response_id: str
    index: int
    conversation: ItemList | None
    out: EffectBuffer

    def added(self, item: CascadeItem) -> None:
        """Announce an item, as it is now."""
        body = items.snapshot(item.body)
        self._tell("response.output_item.added", body)
        if self.conversation is not None:
            previous = self.conversation.add(item)
            self.out.emit("conversation.item.added", previous_item_id=previous, item=body)

    def done(self, item: CascadeItem) -> None:
        """Say that an item is whole; `conversation.item.done` comes first (WIRE §4.4)."""
        body = items.snapshot(item.body)
        if self.conversation is not None:
            self.conversation.trim()
            previous = self.conversation.before(item)
            self.out.emit("conversation.item.done", previous_item_id=previous, item=body)
        self._tell("response.output_item.done", body)

    def emit(self, kind: str, item: CascadeItem, **fields: Any) -> None:
        """Tell something of an item."""
        self.out.emit(
            kind,
            response_id=self.response_id,
            item_id=item.id,
            output_index=self.index,
            **fields,
        )

    def _tell(self, kind: str, body: dict[str, Any]) -> None:
        self.out.emit(kind, response_id=self.response_id, output_index=self.index, item=body)


class ItemWriter(Protocol):
    """One output of a response on its way out; `delivery` is None while a mouth is awaited."""

    delivery: OutputDelivery | None

    @property
    def items(self) -> list[CascadeItem]:
        """Return the items that were announced."""

    def open(self) -> None:
        """Announce it."""

    def tell(self, piece: str | bytes) -> None:
        """Send the next piece of its delivery."""

    def close(self, status: str) -> None:
        """End it, as `completed` or `incomplete`."""


class MessageWriter:
    """Something said, in text or aloud."""

    def __init__(self, slot: Slot, message: SpokenMessage, spoken: bool, pace: Pace) -> None:
        self.text = message.text
        self.delivery: OutputDelivery | None = None
        self._slot = slot
        self._pace = pace
        self._names = _AUDIO if spoken else _TEXT
        self._item = items.answer(slot.out.new_id("item"), message.phase)
        self._opened = False
        if not spoken or message.pcm is not None:
            self.voice(message.pcm if spoken else None)

    @property
    def items(self) -> list[CascadeItem]:
        """Return its item, once it was announced."""
        return [self._item] if self._opened else []

    def voice(self, pcm: bytes | None) -> None:
        """Take the sound of it, None for a text; from now on it can be delivered."""
        self.delivery = OutputDelivery(split(self.text), pcm, self._pace)

    def open(self) -> None:
        """Announce the item and its one part."""
        self._opened = True
        self._slot.added(self._item)
        self._emit("response.content_part.added", part=self._part(""))

    def tell(self, piece: str | bytes) -> None:
        """Send some words or some sound, and keep them for truncation and the next answer."""
        if isinstance(piece, str):
            self._emit(self._names.delta, delta=piece, obfuscation=padding(piece))
        else:
            self._emit("response.output_audio.delta", delta=base64.b64encode(piece).decode())
        if self.delivery is not None:
            said = self._item.words = self.delivery.said
            self._item.audio_ms = self.delivery.audio_bytes // BYTES_PER_MS
            self._item.body["content"] = [{"type": self._names.content, self._names.words: said}]

    def close(self, status: str) -> None:
        """End the sound, the words, the part and the item, in this order (WIRE §4.4)."""
        said = self._item.words or ""
        self._item.body["status"] = status
        self._item.body["content"] = [{"type": self._names.content, self._names.words: said}]
        if self.delivery is not None:
            self._item.audio = self.delivery.audio
        if self._names is _AUDIO:
            self._emit("response.output_audio.done")
        self._emit(self._names.done, **{self._names.words: said})
        self._emit("response.content_part.done", part=self._part(said))
        self._slot.done(self._item)

    def _part(self, words: str) -> dict[str, str]:
        return {"type": self._names.part, self._names.words: words}

    def _emit(self, kind: str, **fields: Any) -> None:
        self._slot.emit(kind, self._item, content_index=0, **fields)


@dataclass(frozen=True, slots=True)
class _Names:
    """How the same thing is called in a part, in an item and in the deltas (PROTOCOL §1b)."""

    part: str
    content: str
    words: str
    delta: str
    done: str


_AUDIO = _Names(
    "audio",
    "output_audio",
    "transcript",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
)
_TEXT = _Names(
    "text", "output_text", "text", "response.output_text.delta", "response.output_text.done"
)

# ---- What one response puts out, item by item: calls of functions and of MCP tools (PROTOCOL §4).

_DENIED = "The tool call was not approved."


class FunctionCallWriter:
    """A function that the client shall call (PROTOCOL §4.6)."""

    def __init__(self, slot: Slot, call: FunctionCall, pace: Pace) -> None:
        self.delivery: OutputDelivery | None = OutputDelivery(
            split_json(as_json(call.arguments)), None, pace
        )
        self._slot = slot
        self._item = CascadeItem(
            {
                "id": slot.out.new_id("item"),
                "type": "function_call",
                "status": "in_progress",
                "name": call.name,
                "call_id": slot.out.new_id("call"),
                "arguments": "",
            }
        )
        self._opened = False

    @property
    def items(self) -> list[CascadeItem]:
        """Return its item, once it was announced."""
        return [self._item] if self._opened else []

    def open(self) -> None:
        """Announce the item."""
        self._opened = True
        self._slot.added(self._item)

    def tell(self, piece: str | bytes) -> None:
        """Send a piece of the arguments."""
        delta = str(piece)
        self._note(self._item.body["arguments"] + delta)
        self._emit("delta", delta=delta, obfuscation=padding(delta))

    def close(self, status: str) -> None:
        """End the arguments and the item."""
        body = self._item.body
        body["status"] = status
        self._emit("done", name=body["name"], arguments=body["arguments"])
        self._slot.done(self._item)

    def _note(self, arguments: str) -> None:
        self._item.body["arguments"] = self._item.words = arguments

    def _emit(self, what: str, **fields: Any) -> None:
        call_id = self._item.body["call_id"]
        kind = f"response.function_call_arguments.{what}"
        self._slot.emit(kind, self._item, call_id=call_id, **fields)


class McpWriter:
    """A tool of an MCP server called at once or when the client has approved (PROTOCOL §4.7).

    `approval` is where the request for an approval stands, None where none is needed.
    """

    def __init__(self, slot: Slot, call: McpCall, pace: Pace, approval: Slot | None) -> None:
        self.delivery: OutputDelivery | None = OutputDelivery(
            split_json(as_json(call.arguments)), None, pace
        )
        self._slot = slot
        self._call = call
        self._approval = approval
        named = {"server_label": call.server_label, "name": call.name, "arguments": ""}
        self._item = CascadeItem(
            {
                "id": slot.out.new_id("item"),
                "type": "mcp_call",
                **named,
                "approval_request_id": None,
                "output": None,
                "error": None,
            }
        )
        self._request: CascadeItem | None = None
        self._opened = False

    @property
    def items(self) -> list[CascadeItem]:
        """Return its items that were announced."""
        announced = [self._item] if self._opened else []
        return [*announced, self._request] if self._request else announced

    @property
    def awaits(self) -> str | None:
        """Return the id of the approval request that the client has not answered yet."""
        return self._request.id if self._request else None

    def open(self) -> None:
        """Announce the item."""
        self._opened = True
        self._slot.added(self._item)

    def tell(self, piece: str | bytes) -> None:
        """Send a piece of the arguments."""
        delta = str(piece)
        self._item.body["arguments"] += delta
        kind = "response.mcp_call_arguments.delta"
        self._slot.emit(kind, self._item, delta=delta, obfuscation=padding(delta))

    def close(self, status: str) -> None:
        """End the arguments; then call the tool, or ask whether it may be called."""
        arguments = self._item.body["arguments"]
        self._slot.emit("response.mcp_call_arguments.done", self._item, arguments=arguments)
        if status != "completed":
            self._slot.done(self._item)
        elif self._approval is None:
            self._run(self._call.error)
        else:
            self._ask(self._approval)

    def decide(self, approved: bool) -> None:
        """Take the client's word: call the tool, or say that it was not called."""
        self._item.body["approval_request_id"] = self.awaits
        self._run(self._call.error if approved else _DENIED)

    def _ask(self, slot: Slot) -> None:
        shared = ("server_label", "name", "arguments")
        body = {"id": slot.out.new_id("mcpr"), "type": "mcp_approval_request"}
        self._request = CascadeItem({**body, **{key: self._item.body[key] for key in shared}})
        slot.added(self._request)
        slot.done(self._request)

    def _run(self, error: str | None) -> None:
        self._tell("in_progress")
        if error is None:
            self._item.body["output"] = self._item.words = self._call.output
            self._tell("completed")
        else:
            self._item.body["error"] = {"type": "tool_execution_error", "message": error}
            self._tell("failed")
        self._slot.done(self._item)

    def _tell(self, what: str) -> None:
        where = {"item_id": self._item.id, "output_index": self._slot.index}
        self._slot.out.emit(f"response.mcp_call.{what}", **where)

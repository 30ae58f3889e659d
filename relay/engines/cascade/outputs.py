"""Writers of a response's output items: the events of each, from the first to the last.

A message, a function call and an MCP call each have an `ItemWriter`. It sends its content piece by
piece, as its `OutputDelivery` hands it out, at the pace of a real model (PROTOCOL §4).
"""

import base64
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from relay.engines.cascade.effects import EffectBuffer, padding
from relay.engines.cascade.items import (
    BYTES_PER_MS,
    CascadeItem,
    ItemList,
    assistant_message,
    snapshot,
)
from relay.parts.interfaces import FunctionCall, McpCall, McpServers, as_json
from relay.parts.sentences import SentenceSplitter

CHUNK_MS = 250
"""The audio of one `response.output_audio.delta` at most (WIRE §2)."""

MAX_AHEAD = 2
"""Sentences that are spoken ahead of the one that is being sent."""

_CHUNK = CHUNK_MS * BYTES_PER_MS
_LEAST = 60 * BYTES_PER_MS  # sent before the rest of a sentence is there
_LEAD = 3  # words that are sent before the audio that speaks them
_MS_PER_CHARACTER = 60  # about as long as speech takes
_WORD = re.compile(r"\s*\S+|\s+$")
_TOKEN = re.compile(r"\w+|\W+")
_DENIED = "The tool call was not approved."


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of answers.

    Audio is sent `burst` times faster than it is heard (OpenAI: 5 to 12, WIRE §2), the pieces of a
    text answer `text_seconds` apart; `delay_seconds` pass before the first piece.
    """

    burst: float = 5.0
    text_seconds: float = 0.01
    delay_seconds: float = 0.0


@dataclass(slots=True, eq=False)
class Segment:
    """Words that are spoken together, and their audio: None for a text, `whole` once all came.

    `spoken_by` is the model that took over for the synthesizer.
    """

    words: list[str]
    pcm: bytearray | None = None
    whole: bool = True
    sent_words: int = 0
    sent_bytes: int = 0
    spoken_by: str = ""

    @property
    def finished(self) -> bool:
        """Tell whether all of it is sent."""
        return (
            self.whole
            and self.sent_words == len(self.words)
            and self.sent_bytes == len(self.pcm or b"")
        )

    @property
    def ready(self) -> bool:
        """Tell whether more of it can be sent."""
        if self.pcm is None:
            return self.sent_words < len(self.words)
        if self.whole:
            return not self.finished
        return len(self.pcm) - self.sent_bytes >= _LEAST

    @property
    def audio_ms(self) -> int:
        """Return the ms of audio sent so far."""
        return self.sent_bytes // BYTES_PER_MS

    def take(self) -> list[str | bytes]:
        """Return what is sent together: words as text, then audio as bytes."""
        if self.pcm is None:
            return list(self._words_until(self.sent_words + 1))
        end = min(self.sent_bytes + _CHUNK, len(self.pcm))
        said = end / self._expected_bytes if self._expected_bytes else 1.0
        pieces: list[str | bytes] = list(self._words_until(int(said * len(self.words)) + _LEAD))
        if end > self.sent_bytes:
            pieces.append(bytes(self.pcm[self.sent_bytes : end]))
            self.sent_bytes = end
        return pieces

    @property
    def expected_ms(self) -> int:
        """Return the ms of all of its audio, estimated until all of it is there."""
        return self._expected_bytes // BYTES_PER_MS

    @property
    def _expected_bytes(self) -> int:
        """Return the length of the audio, estimated until all of it is there."""
        there = len(self.pcm or b"")
        if self.whole:
            return there
        return max(there, sum(map(len, self.words)) * _MS_PER_CHARACTER * BYTES_PER_MS)

    def _words_until(self, count: int) -> list[str]:
        words = self.words[self.sent_words : count]
        self.sent_words += len(words)
        return words


class OutputDelivery:
    """The content of one output: segments of words and their audio, handed out in pieces.

    `take` a piece every `step` seconds while it is `ready`, until it is `finished`. Segments may
    be added until `complete` is set.
    """

    def __init__(self, segments: Sequence[Segment], pace: Pace, *, complete: bool = True) -> None:
        self.segments = list(segments)
        self.complete = complete
        self.step = 0.0
        self.text = ""
        self.word_count = 0
        self.audio_bytes = 0
        self._pace = pace
        self._at = 0  # the segment that is being sent

    @property
    def finished(self) -> bool:
        """Tell whether all is sent and nothing more will come."""
        current = self._current
        return self.complete and (current is None or current.finished) and self.ahead == 0

    @property
    def ready(self) -> bool:
        """Tell whether a piece can be taken, or the end be noted."""
        current = self._current
        return self.finished or (current is not None and current.ready)

    @property
    def ahead(self) -> int:
        """Return the number of segments after the one that is being sent."""
        _ = self._current
        return max(len(self.segments) - self._at - 1, 0)

    @property
    def audio(self) -> bytes:
        """Return the audio sent so far."""
        return b"".join(bytes((s.pcm or b"")[: s.sent_bytes]) for s in self.segments)

    @property
    def spoken(self) -> list[tuple[list[str], int]]:
        """Return the words by segment, with the ms of audio that say them, sent or not."""
        return [(s.words, s.expected_ms) for s in self.segments if s.sent_bytes]

    def take(self) -> list[str | bytes]:
        """Return what is sent together; sets the `step` to the next piece."""
        segment = self._current
        self.step = 0.0
        if segment is None or segment.finished:
            return []
        pieces = segment.take()
        for piece in pieces:
            if isinstance(piece, str):
                self.text += piece
                self.word_count += 1
            else:
                self.audio_bytes += len(piece)
                self.step = len(piece) / (BYTES_PER_MS * 1000) / self._pace.burst
        if segment.pcm is None:
            self.step = self._pace.text_seconds
        return pieces

    def add_words(self, text: str) -> None:
        """Take more of a text that is not spoken."""
        if not self.segments:
            self.segments.append(Segment([]))
        self.segments[-1].words += split(text)

    @property
    def _current(self) -> Segment | None:
        """Return the first segment that is not finished, or the last: a text may still grow."""
        while self._at + 1 < len(self.segments) and self.segments[self._at].finished:
            self._at += 1
        return self.segments[self._at] if self.segments else None


def split(text: str) -> list[str]:
    """Return the words with the space before them; joined they are the text again."""
    return _WORD.findall(text)


def split_json(text: str) -> list[str]:
    """Return JSON in pieces about as large as a model's tokens; joined they are the text again."""
    return _TOKEN.findall(text)


@dataclass(frozen=True, slots=True)
class OutputSlot:
    """The place of an item in its response and in the conversation.

    `conversation` is None for an out-of-band response, whose items join none.
    """

    response_id: str
    index: int
    conversation: ItemList | None
    out: EffectBuffer

    def add(self, item: CascadeItem) -> None:
        """Add an item and announce it, as it is now."""
        body = snapshot(item.body)
        self._emit_item("response.output_item.added", body)
        if self.conversation is not None:
            previous = self.conversation.add(item)
            self.out.emit("conversation.item.added", previous_item_id=previous, item=body)

    def finish(self, item: CascadeItem) -> None:
        """Announce an item as done; `conversation.item.done` comes first (WIRE §4.4)."""
        body = snapshot(item.body)
        if self.conversation is not None:
            self.conversation.trim()
            previous = self.conversation.previous_when_done(item)
            self.out.emit("conversation.item.done", previous_item_id=previous, item=body)
        self._emit_item("response.output_item.done", body)

    def emit(self, kind: str, item: CascadeItem, **fields: Any) -> None:
        """Send an event about an item."""
        self.out.emit(
            kind,
            response_id=self.response_id,
            item_id=item.id,
            output_index=self.index,
            **fields,
        )

    def _emit_item(self, kind: str, body: dict[str, Any]) -> None:
        self.out.emit(kind, response_id=self.response_id, output_index=self.index, item=body)


class ItemWriter(Protocol):
    """Writes one output of a response."""

    delivery: OutputDelivery

    @property
    def items(self) -> list[CascadeItem]:
        """Return the items that were announced."""

    def open(self) -> None:
        """Announce the item."""

    def write(self, piece: str | bytes) -> None:
        """Send the next piece of its delivery."""

    def close(self, status: str) -> None:
        """End the item, as `completed` or `incomplete`."""


class MessageWriter:
    """Writes a message, in text or spoken, while it is being written and spoken."""

    def __init__(
        self, slot: OutputSlot, spoken: bool, pace: Pace, phase: str | None = None
    ) -> None:
        self.delivery = OutputDelivery((), pace, complete=False)
        self._slot = slot
        self._names = _AUDIO if spoken else _TEXT
        self._item = assistant_message(slot.out.new_id("item"), phase)
        self._opened = False
        self._spoken = spoken
        self._splitter = SentenceSplitter()
        self._unspoken: deque[str] = deque()
        self._written = False

    @property
    def items(self) -> list[CascadeItem]:
        """Return its item, once it was announced."""
        return [self._item] if self._opened else []

    def add_text(self, text: str) -> None:
        """Take more of the text."""
        if self._spoken:
            self._unspoken += self._splitter.feed(text)
        elif text:
            self.delivery.add_words(text)

    def end_text(self) -> None:
        """Note that the text is complete."""
        self._written = True
        if rest := self._splitter.flush():
            self._unspoken.append(rest)
        self._complete_if_all_spoken()

    def add_audio(self, text: str, pcm: bytes) -> None:
        """Take a whole text with its audio, which needs no synthesizer."""
        self.delivery.segments.append(Segment(split(text), bytearray(pcm)))

    def next_to_speak(self) -> tuple[str, Segment] | None:
        """Return the next text for the synthesizer and where its audio goes, None for nothing now.

        At most `MAX_AHEAD` sentences are spoken ahead of the one that is being sent.
        """
        while self._unspoken and self.delivery.ahead < MAX_AHEAD:
            text = self._unspoken.popleft()
            silent = not text.strip()
            segment = Segment(split(text), bytearray(), whole=silent)
            self.delivery.segments.append(segment)
            self._complete_if_all_spoken()
            if not silent:
                return text, segment
        return None

    def drop_unspoken(self) -> None:
        """Say nothing more than what the synthesizer has been asked for."""
        self._written = True
        self._unspoken.clear()
        self._complete_if_all_spoken()

    def open(self) -> None:
        """Announce the item and its one part."""
        self._opened = True
        self._slot.add(self._item)
        self._emit("response.content_part.added", part=self._part(""))

    def write(self, piece: str | bytes) -> None:
        """Send words or audio, and keep them for truncation and the next answer."""
        if isinstance(piece, str):
            self._emit(self._names.delta, delta=piece, obfuscation=padding(piece))
        else:
            self._emit("response.output_audio.delta", delta=base64.b64encode(piece).decode())
        text = self.delivery.text
        if not self._item.truncated:
            self._item.words = text
            self._item.spoken = self.delivery.spoken
            self._item.audio_ms = self.delivery.audio_bytes // BYTES_PER_MS
        self._item.body["content"] = [{"type": self._names.content, self._names.text: text}]

    def close(self, status: str) -> None:
        """End the audio, the text, the part and the item, in this order (WIRE §4.4)."""
        text = self.delivery.text
        self._item.body["status"] = status
        self._item.body["content"] = [{"type": self._names.content, self._names.text: text}]
        if not self._item.truncated:
            self._item.words = text
            self._item.audio = self.delivery.audio
        if self._names is _AUDIO:
            self._emit("response.output_audio.done")
        self._emit(self._names.done, **{self._names.text: text})
        self._emit("response.content_part.done", part=self._part(text))
        self._slot.finish(self._item)

    def _complete_if_all_spoken(self) -> None:
        self.delivery.complete = self._written and not self._unspoken

    def _part(self, text: str) -> dict[str, str]:
        return {"type": self._names.part, self._names.text: text}

    def _emit(self, kind: str, **fields: Any) -> None:
        self._slot.emit(kind, self._item, content_index=0, **fields)


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of the same content in parts, in items and in events (PROTOCOL §1b)."""

    part: str
    content: str
    text: str
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


class FunctionCallWriter:
    """Writes the call of a function that the client is to carry out (PROTOCOL §4.6)."""

    def __init__(self, slot: OutputSlot, call: FunctionCall, pace: Pace) -> None:
        self.delivery = _arguments(call, pace)
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
        self._slot.add(self._item)

    def write(self, piece: str | bytes) -> None:
        """Send a piece of the arguments."""
        delta = str(piece)
        self._item.body["arguments"] = self._item.words = self._item.body["arguments"] + delta
        self._emit("delta", delta=delta, obfuscation=padding(delta))

    def close(self, status: str) -> None:
        """End the arguments and the item."""
        body = self._item.body
        body["status"] = status
        self._emit("done", name=body["name"], arguments=body["arguments"])
        self._slot.finish(self._item)

    def _emit(self, what: str, **fields: Any) -> None:
        call_id = self._item.body["call_id"]
        kind = f"response.function_call_arguments.{what}"
        self._slot.emit(kind, self._item, call_id=call_id, **fields)


class McpWriter:
    """Writes the call of an MCP tool, made at once or when the client approves (PROTOCOL §4.7).

    `approval` is the slot of the request for an approval, None where none is needed.
    """

    def __init__(
        self, slot: OutputSlot, call: McpCall, pace: Pace, approval: OutputSlot | None
    ) -> None:
        self.delivery = _arguments(call, pace)
        self._slot = slot
        self._call = call
        self._approval = approval
        self._item = CascadeItem(
            {
                "id": slot.out.new_id("item"),
                "type": "mcp_call",
                "server_label": call.server_label,
                "name": call.name,
                "arguments": "",
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
    def approval_request_id(self) -> str | None:
        """Return the id of its request for an approval, None without one."""
        return self._request.id if self._request else None

    def open(self) -> None:
        """Announce the item."""
        self._opened = True
        self._slot.add(self._item)

    def write(self, piece: str | bytes) -> None:
        """Send a piece of the arguments."""
        delta = str(piece)
        self._item.body["arguments"] += delta
        kind = "response.mcp_call_arguments.delta"
        self._slot.emit(kind, self._item, delta=delta, obfuscation=padding(delta))

    def close(self, status: str) -> None:
        """End the arguments; then make the call, or request an approval."""
        arguments = self._item.body["arguments"]
        self._slot.emit("response.mcp_call_arguments.done", self._item, arguments=arguments)
        if status != "completed":
            self._slot.finish(self._item)
        elif self._approval is None:
            self._call_tool(self._call.error)
        else:
            self._request_approval(self._approval)

    def resolve_approval(self, approved: bool) -> None:
        """Take the client's decision: make the call, or report that it was denied."""
        self._item.body["approval_request_id"] = self.approval_request_id
        self._call_tool(self._call.error if approved else _DENIED)

    def _request_approval(self, slot: OutputSlot) -> None:
        shared = ("server_label", "name", "arguments")
        body = {"id": slot.out.new_id("mcpr"), "type": "mcp_approval_request"}
        self._request = CascadeItem({**body, **{key: self._item.body[key] for key in shared}})
        slot.add(self._request)
        slot.finish(self._request)

    def _call_tool(self, error: str | None) -> None:
        self._emit_progress("in_progress")
        if error is None:
            self._item.body["output"] = self._item.words = self._call.output
            self._emit_progress("completed")
        else:
            self._item.body["error"] = {"type": "tool_execution_error", "message": error}
            self._emit_progress("failed")
        self._slot.finish(self._item)

    def _emit_progress(self, what: str) -> None:
        where = {"item_id": self._item.id, "output_index": self._slot.index}
        self._slot.out.emit(f"response.mcp_call.{what}", **where)


def _arguments(call: FunctionCall | McpCall, pace: Pace) -> OutputDelivery:
    return OutputDelivery([Segment(split_json(as_json(call.arguments)))], pace)


def needs_approval(tools: Sequence[dict[str, Any]], label: str, name: str) -> bool:
    """Tell whether the client wants to approve calls of this tool, which is the default.

    `require_approval` is `always`, `never`, or says so by the names of tools.
    """
    for tool in tools:
        if tool.get("type") == "mcp" and tool.get("server_label") == label:
            policy = tool.get("require_approval") or "always"
            if isinstance(policy, dict):
                return not _names_tool(policy.get("never"), name)
            return bool(policy != "never")
    return False


def _names_tool(tools: Any, name: str) -> bool:
    named = tools.get("tool_names") if isinstance(tools, dict) else None
    return isinstance(named, list) and name in named


class McpToolListing:
    """Lists the tools of a session's MCP servers to the client (PROTOCOL §4.7)."""

    def __init__(self, servers: McpServers, conversation: ItemList, out: EffectBuffer) -> None:
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

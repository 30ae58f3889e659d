"""One response from `response.created` to `response.done`, event by event (PROTOCOL §4)."""

import base64
from dataclasses import dataclass
from typing import Any

from relay.engines.offline import items, usage
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.delivery import Delivery
from relay.engines.offline.ids import padding
from relay.engines.offline.items import BYTES_PER_MS, Item
from relay.engines.offline.outgoing import Outgoing
from relay.engines.offline.refusals import Event

RATE_LIMIT_TOKENS = 15_000_000
"""The limit that `rate_limits.updated` tells of; nothing is ever refused for it."""


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
    metadata: dict[str, str] | None = None
    in_conversation: bool = True
    input: tuple[Item, ...] | None = None


class Response:
    """A response that runs. The caller tells it what to say and when to go on."""

    def __init__(self, request: Request, conversation: Conversation, out: Outgoing) -> None:
        self.id = out.new_id("resp")
        self.request = request
        self.awaits: str | None = None
        self.text = ""
        self.delivery: Delivery | None = None
        self._conversation = conversation
        self._out = out
        self._item: Item | None = None
        self._taken = (0, 0)
        self._names = _AUDIO if request.spoken else _TEXT

    def begin(self) -> None:
        """Announce the response."""
        taken_from = self._conversation if self.request.input is None else self.request.input
        self._taken = usage.taken_in(self.request.instructions, taken_from)
        self._out.emit("response.created", response=self._resource("in_progress", None, None))

    def advance(self, now: float) -> bool:
        """Send what is due; returns True when everything is said (then `end` it)."""
        delivery = self.delivery
        if delivery is None or delivery.due > now:
            return False
        if self._item is None:
            self._open()
        for piece in delivery.take(now):
            if isinstance(piece, str):
                self._emit(self._names.delta, delta=piece, obfuscation=padding(piece))
            else:
                self._emit("response.output_audio.delta", delta=base64.b64encode(piece).decode())
        self._keep(delivery)
        return delivery.finished

    def end(self, status: str, details: Event | None = None) -> None:
        """Close what is open and announce the end, as `completed`, `cancelled` or `failed`."""
        if self._item is not None:
            self._close("completed" if status == "completed" else "incomplete")
        self._out.emit("response.done", response=self._resource(status, details, self._used()))
        if status == "completed":
            remaining = RATE_LIMIT_TOKENS - self._used()["total_tokens"]
            limit = {"name": "tokens", "limit": RATE_LIMIT_TOKENS, "remaining": remaining}
            self._out.emit("rate_limits.updated", rate_limits=[{**limit, "reset_seconds": 0.001}])

    def _open(self) -> None:
        self._item = item = items.answer(self._out.new_id("item"))
        body = {**item.body, "content": []}
        self._out.emit("response.output_item.added", response_id=self.id, output_index=0, item=body)
        if self.request.in_conversation:
            previous = self._conversation.add(item)
            self._out.emit("conversation.item.added", previous_item_id=previous, item=body)
        part = {"type": self._names.part, self._names.words: ""}
        self._emit("response.content_part.added", part=part)

    def _close(self, status: str) -> None:
        item, said = self._finished_item(status)
        names = self._names
        if self.request.spoken:
            self._emit("response.output_audio.done")
        self._emit(names.done, **{names.words: said})
        self._emit("response.content_part.done", part={"type": names.part, names.words: said})
        body = _copy(item.body)
        if self.request.in_conversation:
            previous = self._conversation.before(item)
            self._out.emit("conversation.item.done", previous_item_id=previous, item=body)
        self._out.emit("response.output_item.done", response_id=self.id, output_index=0, item=body)

    def _finished_item(self, status: str) -> tuple[Item, str]:
        item, delivery = self._item, self.delivery
        if item is None or delivery is None:
            raise AssertionError("a response that has not begun to speak has no item")
        item.body["status"] = status
        item.audio = delivery.audio
        self._conversation.trim()
        return item, delivery.said

    def _keep(self, delivery: Delivery) -> None:
        """Note on the item what was said of it so far, for truncation and for the next answer."""
        item = self._item
        if item is not None:
            item.words = delivery.said
            item.audio_ms = delivery.audio_bytes // BYTES_PER_MS
            item.body["content"] = [{"type": self._names.content, self._names.words: item.words}]

    def _emit(self, kind: str, **fields: Any) -> None:
        item_id = self._item.id if self._item else None
        self._out.emit(
            kind, response_id=self.id, item_id=item_id, output_index=0, content_index=0, **fields
        )

    def _used(self) -> dict[str, Any]:
        delivery = self.delivery
        if delivery is None:
            return usage.of_response(self._taken, 0, 0)
        return usage.of_response(self._taken, delivery.words, delivery.audio_bytes // BYTES_PER_MS)

    def _resource(self, status: str, details: Event | None, used: Event | None) -> Event:
        request = self.request
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [_copy(self._item.body)] if self._item else [],
            "conversation_id": self._conversation.id if request.in_conversation else None,
            "output_modalities": ["audio"] if request.spoken else ["text"],
            "max_output_tokens": request.max_output_tokens,
            "audio": {
                "output": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "voice": request.voice,
                }
            },
            "usage": used,
            "metadata": request.metadata,
        }


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


def _copy(body: Event) -> Event:
    """Return the item as it is now: later changes to it belong to later events."""
    return {**body, "content": [dict(part) for part in body["content"]]}

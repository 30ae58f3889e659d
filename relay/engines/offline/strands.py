"""What one response puts out, item by item: a message's events from its first to its last."""

import base64
from dataclasses import dataclass
from typing import Any, Protocol

from relay.engines.offline import items
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.delivery import Delivery, Pace, split
from relay.engines.offline.ids import padding
from relay.engines.offline.items import BYTES_PER_MS, Item
from relay.engines.offline.outgoing import Outgoing
from relay.engines.offline.replies import Message


@dataclass(frozen=True, slots=True)
class Slot:
    """Where in a response an item stands, and how it is told of.

    `conversation` is None for an out-of-band response, whose items join none.
    """

    response_id: str
    index: int
    conversation: Conversation | None
    out: Outgoing

    def added(self, item: Item) -> None:
        """Announce an item, as it is now."""
        body = items.snapshot(item.body)
        self._tell("response.output_item.added", body)
        if self.conversation is not None:
            previous = self.conversation.add(item)
            self.out.emit("conversation.item.added", previous_item_id=previous, item=body)

    def done(self, item: Item) -> None:
        """Say that an item is whole; `conversation.item.done` comes first (WIRE §4.4)."""
        body = items.snapshot(item.body)
        if self.conversation is not None:
            self.conversation.trim()
            previous = self.conversation.before(item)
            self.out.emit("conversation.item.done", previous_item_id=previous, item=body)
        self._tell("response.output_item.done", body)

    def emit(self, kind: str, item: Item, **fields: Any) -> None:
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


class Strand(Protocol):
    """One output of a response on its way out; `delivery` is None while a mouth is awaited."""

    delivery: Delivery | None

    @property
    def items(self) -> list[Item]:
        """Return the items that were announced."""

    def open(self) -> None:
        """Announce it."""

    def tell(self, piece: str | bytes) -> None:
        """Send the next piece of its delivery."""

    def close(self, status: str) -> None:
        """End it, as `completed` or `incomplete`."""


class MessageStrand:
    """Something said, in text or aloud."""

    def __init__(self, slot: Slot, message: Message, spoken: bool, pace: Pace) -> None:
        self.text = message.text
        self.delivery: Delivery | None = None
        self._slot = slot
        self._pace = pace
        self._names = _AUDIO if spoken else _TEXT
        self._item = items.answer(slot.out.new_id("item"), message.phase)
        self._opened = False
        if not spoken or message.pcm is not None:
            self.voice(message.pcm if spoken else None)

    @property
    def items(self) -> list[Item]:
        """Return its item, once it was announced."""
        return [self._item] if self._opened else []

    def voice(self, pcm: bytes | None) -> None:
        """Take the sound of it, None for a text; from now on it can be delivered."""
        self.delivery = Delivery(split(self.text), pcm, self._pace)

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

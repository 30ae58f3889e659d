"""One thing a coach says in the model's place, and the events that make it an ordinary answer."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

from relay.realtime.events import AUDIO_DELTA, Event

Json = dict[str, Any]
BYTES_PER_MS: Final = 48  # PCM16 mono 24 kHz


@dataclass(slots=True)
class Turn:
    """`item_id` and `response_id` are the relay's own.

    `previous` is the item before it in the client's eyes, `anchor` in the engine's: None where
    there was none, "" where that item is gone. `cut` says why it was cut off, `heard_ms` how much
    of it was heard then. `words` are None until they are known. `is_sent` says that the engine was
    told of it.
    """

    number: int
    coach_id: str
    item_id: str
    response_id: str
    previous: str | None
    anchor: str | None
    audio_ms: int = 0
    heard_ms: int | None = None
    cut: str = ""
    words: str | None = None
    is_sent: bool = False
    is_deleted: bool = False
    events: int = 0

    def item(self, *, done: bool) -> Json:
        """The conversation item as the client may see it."""
        status = "incomplete" if self.cut else "completed"
        said = {"type": "output_audio", **self._transcript()}
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status if done else "in_progress",
            "role": "assistant",
            "content": [said] if done else [],
        }

    def began(self) -> list[Event]:
        """How the answer begins (PROTOCOL §4.1)."""
        item, part = self.item(done=False), {"type": "audio", "transcript": ""}
        placed = {"previous_item_id": self.previous, "item": item}
        return [
            self._event("response.created", response=self._response("in_progress", [])),
            self._in_response("response.output_item.added", item=item),
            self._event("conversation.item.added", **placed),
            self._in_part("response.content_part.added", part=part),
        ]

    def sound(self, pcm: bytes) -> Event:
        """A piece of it; mind `audio_ms`."""
        return self._in_part(AUDIO_DELTA, delta=b64encode(pcm).decode())

    def silent(self) -> list[Event]:
        """No more sound comes."""
        return [self._in_part("response.output_audio.done")]

    def spelled(self) -> list[Event]:
        """The words, where they are known; they may come after the answer's end."""
        if not self.words:
            return []
        return [
            self._in_part("response.output_audio_transcript.delta", delta=self.words),
            self._in_part("response.output_audio_transcript.done", transcript=self.words),
        ]

    def ended(self) -> list[Event]:
        """How the answer ends (PROTOCOL §4.1, cut off §4.4)."""
        item, part = self.item(done=True), {"type": "audio", **self._transcript()}
        placed = {"previous_item_id": self.previous, "item": item}
        status = "cancelled" if self.cut else "completed"
        return [
            self._in_part("response.content_part.done", part=part),
            self._event("conversation.item.done", **placed),
            self._in_response("response.output_item.done", item=item),
            self._event("response.done", response=self._response(status, [item])),
        ]

    def told(self, kind: str, **more: Any) -> Event:
        """An answer to a client that asked about the item."""
        return self._event(kind, **more)

    def _transcript(self) -> Json:
        return {} if self.words is None else {"transcript": self.words}

    def _response(self, status: str, output: list[Json]) -> Json:
        why = {"type": "cancelled", "reason": self.cut} if status == "cancelled" else None
        return {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": why,
            "output": output,
            "output_modalities": ["audio"],
            "usage": None,
            "metadata": None,
        }

    def _in_part(self, kind: str, **more: Any) -> Event:
        ids = {"response_id": self.response_id, "item_id": self.item_id}
        return self._event(kind, **ids, output_index=0, content_index=0, **more)

    def _in_response(self, kind: str, **more: Any) -> Event:
        return self._event(kind, response_id=self.response_id, output_index=0, **more)

    def _event(self, kind: str, **more: Any) -> Event:
        self.events += 1
        return {"type": kind, "event_id": f"event_{self.item_id}_{self.events}", **more}

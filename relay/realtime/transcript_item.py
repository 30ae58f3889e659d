"""One conversation item while its words come in."""

from dataclasses import dataclass, field
from typing import Any, Final

from relay.realtime.events import Event
from relay.realtime.utterance import State

_TEXT_OF: Final = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "input_audio": "transcript",
    "output_audio": "transcript",
    "audio": "transcript",
}
_MAX_PARTS: Final = 64  # content parts of one item; the API itself shows one or two


@dataclass(slots=True)
class Part:
    """One content part: the deltas so far, and the text once an event gave it whole."""

    deltas: list[str] = field(default_factory=list)
    text: str | None = None

    def so_far(self) -> str:
        """What is known of the text; deltas join raw, as they bring their own spaces."""
        return (self.text if self.text is not None else "".join(self.deltas)).strip()


@dataclass(slots=True)
class Item:
    """What is known of one item. `seen` and `created` are Unix seconds."""

    id: str
    role: str
    seen: float
    created: float = 0.0
    generated: bool = False
    typed: bool = False
    status: str = "in_progress"
    failed: bool = False
    deleted: bool = False
    audio_ms: int = 0
    heard_ms: int | None = None
    estimated: bool = False
    parts: dict[int, Part] = field(default_factory=dict)

    def part(self, index: Any) -> Part | None:
        """The content part at this index, made when it is new; None beyond the bound."""
        key = index if isinstance(index, int) else 0
        if key not in self.parts and len(self.parts) >= _MAX_PARTS:
            return None
        return self.parts.setdefault(key, Part())

    def answer_state(self) -> State:
        """What became of a complete answer."""
        if self.deleted or self.heard_ms == 0:
            return "unheard"
        cut = self.heard_ms is not None and (not self.audio_ms or self.heard_ms < self.audio_ms)
        return "interrupted" if cut or self.status == "incomplete" else "final"

    def read_content(self, content: Any) -> None:
        """Take the texts of an item object; what is already known whole stays."""
        if not isinstance(content, list):
            return
        for index, given in enumerate(content):
            if not isinstance(given, dict):
                continue
            kind = given.get("type")
            text = given.get(_TEXT_OF.get(str(kind), ""))
            part = self.part(index) if isinstance(text, str) else None
            if part is not None and part.text is None and isinstance(text, str):
                part.text = text
            self.typed = self.typed or kind == "input_text"

    def take_delta(self, event: Event) -> None:
        """A piece of a part's text."""
        if isinstance(event.get("delta"), str):
            self.take_word(event.get("content_index"), event["delta"])

    def take_word(self, index: Any, text: str) -> None:
        """The same, where it is known what is what."""
        part = self.part(index)
        if part is not None:
            part.deltas.append(text)

    def take_text(self, event: Event) -> None:
        """A part's whole text, from any of the events that have it; the first one counts."""
        part = self.part(event.get("content_index"))
        given = event.get("part", event)
        text = given.get("transcript", given.get("text")) if isinstance(given, dict) else None
        if part is not None and part.text is None and isinstance(text, str):
            part.text = text

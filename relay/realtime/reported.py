"""What the engine says of its session and its answers, as far as the relay acts on it."""

from typing import Any, Final

from relay.realtime.events import BYTES_PER_MS, PCM, Event

MOST_RESPONSES: Final = 32
"""Answers in a format of their own that are remembered at once; few are generated in parallel."""

_SESSIONS: Final = ("session.created", "session.updated")
_FORMAT: Final = ("audio", "output", "format", "type")


class ReportedSession:
    """The settings in force: the session's, and the formats of answers that have their own."""

    def __init__(self) -> None:
        self.spoken = PCM
        """The format of what the client sends."""
        self.heard = PCM
        """The format of what the client receives."""
        self.interrupts = True
        """Whether a learner who begins to speak interrupts the answer."""
        self.characters_per_3_ms = _rate(PCM)
        """Base64 of three milliseconds of what the client receives: 4 characters hold 3 bytes."""
        self.transcribes = True
        """Whether the learner's words are to be expected; some engines never say so."""
        self.own_formats: dict[str, str] = {}
        """The formats of items in another format than the session's, while they are generated."""
        self._asked: str | None = None  # for the next answer
        self._asked_interrupts: bool | None = None
        self._responses: dict[str, str] = {}

    def ask(self, event: Event) -> None:
        """Take an event that goes to the engine: some never say what they make of it."""
        if event["type"] == "response.create":
            self._asked = _text(event, "response", *_FORMAT)
        elif event["type"] == "session.update" and (asked := _interrupts(event)) is not None:
            self._asked_interrupts = asked

    def observe(self, event: Event, now: float) -> None:
        """Take an event of the engine."""
        kind = event["type"]
        if kind in _SESSIONS:
            self._take_session(event)
        elif kind == "response.created":
            self._begin_response(event)
        elif kind == "response.output_item.added" and self._responses:
            self._begin_item(event)
        elif kind == "response.done" and self._responses:
            self._end_response(event)
        elif kind == "error":
            self._asked = self._asked_interrupts = None

    def rate_of(self, item_id: str) -> int:
        """`characters_per_3_ms` of this item."""
        form = self.own_formats.get(item_id)
        return self.characters_per_3_ms if form is None else _rate(form)

    def format_of(self, item_id: str) -> str:
        """The format of this item."""
        return self.own_formats.get(item_id, self.heard)

    def _take_session(self, event: Event) -> None:
        self.spoken = _text(event, "session", "audio", "input", "format", "type") or self.spoken
        self.heard = _text(event, "session", *_FORMAT) or self.heard
        self.characters_per_3_ms = _rate(self.heard)
        heard = _value(event, "session", "audio", "input")
        if isinstance(heard, dict) and "transcription" in heard:
            self.transcribes = heard["transcription"] is not None
        self._take_detection(event)

    def _take_detection(self, event: Event) -> None:
        """Some engines name what has changed alone, or nothing that they were asked for."""
        says = _interrupts(event)
        self.interrupts = next(
            (one for one in (says, self._asked_interrupts) if one is not None), self.interrupts
        )
        self._asked_interrupts = None

    def _begin_response(self, event: Event) -> None:
        asked, self._asked = self._asked, None
        form = _text(event, "response", *_FORMAT) or asked
        response_id = _text(event, "response", "id")
        if form is None or form == self.heard or response_id is None:
            return
        if len(self._responses) < MOST_RESPONSES:
            self._responses[response_id] = form

    def _begin_item(self, event: Event) -> None:
        form = self._responses.get(str(event.get("response_id")))
        item_id = _text(event, "item", "id")
        if form is not None and item_id is not None:
            self.own_formats[item_id] = form

    def _end_response(self, event: Event) -> None:
        self._responses.pop(str(_value(event, "response", "id")), None)
        if not self._responses:
            self.own_formats.clear()


def _interrupts(event: Event) -> bool | None:
    """Whether speech interrupts by this event's session; None where it does not say."""
    heard = _value(event, "session", "audio", "input")
    if not isinstance(heard, dict) or "turn_detection" not in heard:
        return None
    detection = heard["turn_detection"]
    return not (isinstance(detection, dict) and detection.get("interrupt_response") is False)


def _rate(form: str) -> int:
    return 4 * BYTES_PER_MS.get(form, BYTES_PER_MS[PCM])


def _text(event: Event, *path: str) -> str | None:
    value = _value(event, *path)
    return value if isinstance(value, str) else None


def _value(event: Event, *path: str) -> Any:
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value

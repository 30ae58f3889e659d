"""Shows a client the input transcription that it asked for, and not the relay's own."""

from typing import Any, Final

from relay.realtime.effects import RuleOutcome
from relay.realtime.events import Event

TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."
"""What the types of the events of input transcription begin with."""
_SESSION_EVENTS: Final = ("session.created", "session.updated")


class TranscriptionView:
    """What one client sees of input transcription, which the relay always asks the engine for.

    Some clients end at an event that they did not ask for, so these are shown to one whose last
    word about it was settings for transcription; with `always` to any.
    """

    def __init__(self, *, always: bool) -> None:
        self._always = always
        self._asked = False

    @property
    def is_shown(self) -> bool:
        """Whether the client sees the learner's words."""
        return self._always or self._asked

    def from_client(self, event: Event, now: float) -> RuleOutcome | None:
        """Note what a `session.update` says of transcription; lets every event pass."""
        given = _input(event) if event["type"] == "session.update" else None
        if given is not None and "transcription" in given:
            self._asked = isinstance(given["transcription"], dict)
        return None

    def hides(self, kind: str) -> bool:
        """Whether the client is not shown events of this type."""
        return not self.is_shown and kind.startswith(TRANSCRIPTION)

    def of_session(self, event: Event) -> Event:
        """A session event without settings that the client did not ask for; any other as it is."""
        if self.is_shown or event["type"] not in _SESSION_EVENTS:
            return event
        given = _input(event)
        if given is None or given.get("transcription") is None:
            return event
        session = event["session"]
        audio = {**session["audio"], "input": {**given, "transcription": None}}
        return {**event, "session": {**session, "audio": audio}}


def _input(event: Event) -> dict[str, Any] | None:
    """The `audio.input` of an event's session in GA form, None where there is none."""
    value: Any = event.get("session")
    for name in ("audio", "input"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None

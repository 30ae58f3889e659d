"""Lets a simulated voice speak beta, as some servers like OpenAI's still do."""

from typing import Final

from relay.interfaces import Connection, Frame, Receiver
from relay.realtime.dialects.client import BetaDialect
from relay.realtime.endings import Ending
from relay.realtime.events import BadEvent, Event, decode, encode, error, sniff

GA_FIELDS: Final = frozenset({"type", "audio", "output_modalities", "max_output_tokens"})
"""Fields of sessions and responses that beta does not know, and refuses an event for."""

GA_CONTENT: Final = frozenset({"output_text", "output_audio"})


class BetaVoice:
    """A `Connection` to a voice of the cascade; both ways it speaks beta and nothing else."""

    def __init__(self, voice: Connection) -> None:
        self._voice = voice
        self._dialect = BetaDialect()
        self._receiver: Receiver | None = None
        self.ping = voice.ping
        self.pause, self.resume, self.close = voice.pause, voice.resume, voice.close

    @property
    def fault(self) -> Ending | None:
        """As the voice says."""
        return self._voice.fault

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver from now on."""
        self._receiver = receiver
        self._voice.attach(self)

    def send(self, frame: Frame) -> None:
        """Send one event, or refuse it where it is GA's."""
        try:
            event = decode(frame)
        except BadEvent:
            self._voice.send(frame)  # refused there, in words that both have
            return
        refused = _ga_field(event)
        if refused is None:
            self._voice.send(encode(self._dialect.up(event)))
        elif self._receiver is not None:
            self._receiver.frame(encode(_unknown(refused, event)))

    def frame(self, frame: Frame) -> None:
        """Forward what the voice says, in beta."""
        seen = self._dialect.down(frame, sniff(frame), None)
        if seen is not None and self._receiver is not None:
            self._receiver.frame(seen)

    def writable(self, ready: bool) -> None:
        """Forward it."""
        if self._receiver is not None:
            self._receiver.writable(ready)

    def closed(self, code: int, reason: str) -> None:
        """Forward it."""
        if self._receiver is not None:
            self._receiver.closed(code, reason)


def _ga_field(event: Event) -> str | None:
    """The first field or content type that only GA has, as a path."""
    for key in ("session", "response"):
        body = event.get(key)
        found = GA_FIELDS.intersection(body) if isinstance(body, dict) else ()
        if found:
            return f"{key}.{min(found)}"
    item = event.get("item")
    content = item.get("content") if isinstance(item, dict) else None
    parts = content if isinstance(content, list) else ()
    is_ga = any(isinstance(p, dict) and p.get("type") in GA_CONTENT for p in parts)
    return "item.content.type" if is_ga else None


def _unknown(param: str, event: Event) -> Event:
    return error(
        f"Unknown parameter: '{param}'.",
        code="unknown_parameter",
        param=param,
        client_event_id=event.get("event_id"),
        event_id="event_beta_refused",
    )

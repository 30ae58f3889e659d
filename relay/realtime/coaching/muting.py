"""Mutes the model while a coach has the floor and keeps the client's view of the session whole."""

from typing import Any, Final

from relay.realtime.effects import RuleOutcome
from relay.realtime.events import Event

Json = dict[str, Any]

_MAX_RESPONSES: Final = 16  # in progress; the API has one in the conversation and few beside it
_MUTED: Final[Json] = {"create_response": False, "idle_timeout_ms": None}
"""Turn detection goes on, since the learner is still transcribed, but triggers no response."""
_DEFAULTS: Final[Json] = {"create_response": True, "idle_timeout_ms": None}


class ModelMuting:
    """A layer over the engine's turn detection. It takes every event, muted or not.

    While muted, no response costs anything: turn detection triggers none, one that began is
    cancelled, and a client that asks for one gets a response that was cancelled before its first
    output. The client sees turn detection as it configured it.
    """

    def __init__(self) -> None:
        self.is_muted = False
        self._turn_detection: Any = None  # as the client sees it
        self._active: dict[str, None] = {}  # ids of responses in progress
        self._owed: Event | None = None
        self._cancelled_count = 0

    @property
    def is_answering(self) -> bool:
        """Whether a response is in progress."""
        return bool(self._active)

    def mute(self) -> list[Event]:
        """Mute the model; returns the events for the engine, none if it is muted already."""
        if self.is_muted:
            return []
        self.is_muted = True
        cancels = [_cancel(response_id) for response_id in self._active]
        return cancels + self._update(_MUTED)

    def unmute(self) -> list[Event]:
        """Unmute the model; it does not answer what was said while it was muted."""
        if not self.is_muted:
            return []
        self.is_muted = False
        owed, self._owed = self._owed, None
        return self._update({}) + ([owed] if owed is not None else [])

    def owe(self, event: Event) -> None:
        """Keep a `response.create` of the relay's own until `unmute`; the last one counts."""
        self._owed = event

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event, in GA form and allowed, as it may be sent to the engine."""
        if not self.is_muted:
            return RuleOutcome([event])
        if event["type"] == "response.create":
            return RuleOutcome(replies=self._cancelled_response(event))
        wanted = _turn_detection(event)
        if event["type"] != "session.update" or not isinstance(wanted, dict):
            return RuleOutcome([event])
        seen = self._turn_detection if isinstance(self._turn_detection, dict) else {}
        self._turn_detection = {**seen, **_DEFAULTS, **wanted}
        return RuleOutcome([_with_turn_detection(event, {**wanted, **_MUTED})])

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event as the client may see it; replies with what keeps the model muted."""
        kind = event["type"]
        if kind == "session.created":
            self._turn_detection = _turn_detection(event)
            return RuleOutcome([event], self._update(_MUTED) if self.is_muted else [])
        if kind == "session.updated":
            return RuleOutcome([self._configured(event)])
        response = event.get("response")
        response_id = response.get("id") if isinstance(response, dict) else None
        if not isinstance(response_id, str):
            return RuleOutcome([event])
        if kind == "response.done":
            self._active.pop(response_id, None)
        elif kind == "response.created":
            if len(self._active) < _MAX_RESPONSES:
                self._active[response_id] = None
            if self.is_muted:
                return RuleOutcome([event], [_cancel(response_id)])
        return RuleOutcome([event])

    def _configured(self, event: Event) -> Event:
        """Take the engine's turn detection; while muted, show it as the client configured it."""
        reported = _turn_detection(event)
        if not self.is_muted or not isinstance(reported, dict):
            self._turn_detection = reported
            return event
        seen = self._turn_detection if isinstance(self._turn_detection, dict) else _DEFAULTS
        kept = {name: seen[name] for name in _MUTED if name in seen}
        self._turn_detection = {**reported, **kept}
        return _with_turn_detection(event, self._turn_detection)

    def _update(self, layer: Json) -> list[Event]:
        """A `session.update` to the client's turn detection with `layer` on top.

        None for a session without turn detection.
        """
        if not isinstance(self._turn_detection, dict):
            return []
        update = {"type": "session.update", "session": {"type": "realtime"}}
        return [_with_turn_detection(update, {**self._turn_detection, **layer})]

    def _cancelled_response(self, create: Event) -> list[Event]:
        """The events of a response that was cancelled before its first output."""
        self._cancelled_count += 1
        number = self._cancelled_count
        wanted = create.get("response")
        response: Json = {
            "object": "realtime.response",
            "id": f"resp_relay_{number}",
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "usage": None,
            "metadata": wanted.get("metadata") if isinstance(wanted, dict) else None,
        }
        details = {"type": "cancelled", "reason": "client_cancelled"}
        done = {**response, "status": "cancelled", "status_details": details}
        return [
            {
                "type": "response.created",
                "event_id": f"event_relay_muted_created_{number}",
                "response": response,
            },
            {
                "type": "response.done",
                "event_id": f"event_relay_muted_done_{number}",
                "response": done,
            },
        ]


def _cancel(response_id: str) -> Event:
    return {"type": "response.cancel", "response_id": response_id}


def _turn_detection(event: Event) -> Any:
    """`session.audio.input.turn_detection` of an event; None if it has none."""
    value: Any = event
    for name in ("session", "audio", "input", "turn_detection"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _with_turn_detection(event: Event, turn_detection: Json) -> Event:
    session = event["session"]
    audio = session.get("audio") or {}
    audio_input = {**(audio.get("input") or {}), "turn_detection": turn_detection}
    return {**event, "session": {**session, "audio": {**audio, "input": audio_input}}}

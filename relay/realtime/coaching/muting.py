"""Keeps the model silent while a human has the word, and the client's picture whole; pure."""

from typing import Any, Final

from relay.realtime.effects import RuleOutcome
from relay.realtime.events import Event

Json = dict[str, Any]

_MOST_ACTIVE: Final = 16  # responses at once; the API makes one in the conversation, few beside it
_SILENCING: Final[Json] = {"create_response": False, "idle_timeout_ms": None}
"""Turn detection goes on, for the learner is still written down, but it asks for no answer."""
_DEFAULTS: Final[Json] = {"create_response": True, "idle_timeout_ms": None}


class ModelMuting:
    """One layer over what the engine is told (docs/architecture.md); feed it always, muted or not.

    While muted, no answer is paid for: turn detection asks for none, one that began is cancelled,
    and a client that asks gets an answer which was cancelled before its first word.
    """

    reads: Final = frozenset(
        {"session.created", "session.updated", "response.created", "response.done"}
    )

    def __init__(self) -> None:
        self.is_muted = False
        self._turns: Any = None  # turn detection as the client believes it is
        self._active: dict[str, None] = {}
        self._owed: Event | None = None
        self._made = 0

    @property
    def is_answering(self) -> bool:
        """Whether the model is at work on an answer."""
        return bool(self._active)

    def mute(self) -> list[Event]:
        """What goes up so that the model falls silent and stays so; nothing when it is."""
        if self.is_muted:
            return []
        self.is_muted = True
        cancels = [_cancel(response_id) for response_id in self._active]
        return cancels + self._turn_detection(_SILENCING)

    def unmute(self) -> list[Event]:
        """What goes up so that the model answers again: not what was said meanwhile."""
        if not self.is_muted:
            return []
        self.is_muted = False
        owed, self._owed = self._owed, None
        return self._turn_detection({}) + ([owed] if owed is not None else [])

    def owe(self, event: Event) -> None:
        """A `response.create` of the relay's, for which this is not the time: the last is kept."""
        self._owed = event

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """A client's event, in GA form and allowed, on its way up."""
        if not self.is_muted:
            return RuleOutcome([event])
        if event["type"] == "response.create":
            return RuleOutcome(replies=self._cancelled(event))
        if event["type"] != "session.update" or not isinstance(_turns(event), dict):
            return RuleOutcome([event])
        wish = _turns(event)
        believed = self._turns if isinstance(self._turns, dict) else {}
        self._turns = {**believed, **_DEFAULTS, **wish}
        return RuleOutcome([_with_turns(event, {**wish, **_SILENCING})])

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event as the client shall see it; replies with what keeps the model silent."""
        kind = event["type"]
        if kind == "session.created":
            self._turns = _turns(event)
            silencing = self._turn_detection(_SILENCING) if self.is_muted else []
            return RuleOutcome([event], silencing)
        if kind == "session.updated":
            return RuleOutcome([self._configured(event)])
        response = event.get("response")
        response_id = response.get("id") if isinstance(response, dict) else None
        if not isinstance(response_id, str):
            return RuleOutcome([event])
        if kind == "response.done":
            self._active.pop(response_id, None)
        elif kind == "response.created":
            if len(self._active) < _MOST_ACTIVE:
                self._active[response_id] = None
            if self.is_muted:
                return RuleOutcome([event], [_cancel(response_id)])
        return RuleOutcome([event])

    def _configured(self, event: Event) -> Event:
        """The engine says how it detects turns; a muted client sees it as it was wished for."""
        turns = _turns(event)
        if not self.is_muted or not isinstance(turns, dict):
            self._turns = turns
            return event
        believed = self._turns if isinstance(self._turns, dict) else _DEFAULTS
        kept = {name: believed[name] for name in _SILENCING if name in believed}
        self._turns = {**turns, **kept}
        return _with_turns(event, self._turns)

    def _turn_detection(self, layer: Json) -> list[Event]:
        """The update that puts this over what the client wished; none without turn detection."""
        if not isinstance(self._turns, dict):
            return []
        update = {"type": "session.update", "session": {"type": "realtime"}}
        return [_with_turns(update, {**self._turns, **layer})]

    def _cancelled(self, asked: Event) -> list[Event]:
        """An answer that ended before its first word."""
        self._made += 1
        wish = asked.get("response")
        metadata = wish.get("metadata") if isinstance(wish, dict) else None
        response: Json = {
            "object": "realtime.response",
            "id": f"resp_relay_{self._made}",
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "usage": None,
            "metadata": metadata,
        }
        why = {"type": "cancelled", "reason": "client_cancelled"}
        done = {**response, "status": "cancelled", "status_details": why}
        return [
            {**_named("response.created", self._made), "response": response},
            {**_named("response.done", self._made), "response": done},
        ]


def _named(kind: str, number: int) -> Event:
    return {"type": kind, "event_id": f"event_relay_muted_{kind[9:]}_{number}"}


def _cancel(response_id: str) -> Event:
    return {"type": "response.cancel", "response_id": response_id}


def _turns(event: Event) -> Any:
    """`session.audio.input.turn_detection` of an event, None where there is none."""
    value: Any = event
    for name in ("session", "audio", "input", "turn_detection"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _with_turns(event: Event, turns: Json) -> Event:
    session = event["session"]
    audio = session.get("audio") or {}
    heard = {**(audio.get("input") or {}), "turn_detection": turns}
    return {**event, "session": {**session, "audio": {**audio, "input": heard}}}

"""Every event of a session with its place in it: which event, of which turn, of which response."""

from dataclasses import dataclass
from typing import Any

from relay.engines.cascade.effects import Close, Emit, Event
from relay.simulator.faults.only import Luck, Only, Unit, among

_MAX_KNOWN = 4096  # items and responses remembered; the eldest are forgotten

_OF_THE_NEXT_TURN = (
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "input_audio_buffer.timeout_triggered",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """An event, or the end, on its way to the client.

    `number` counts the session's events from 1. `turn` and `response` say to which it belongs, a
    response to the turn that came before it; `delta` counts the deltas of that response.
    """

    effect: Emit | Close
    number: int
    turn: int | None = None
    response: int | None = None
    delta: int | None = None

    @property
    def event(self) -> Event:
        """Return the event, an empty one for the end."""
        return self.effect.event if isinstance(self.effect, Emit) else {}

    @property
    def kind(self) -> str:
        """Return the event's type, "" for the end."""
        return str(self.event.get("type", ""))

    def of(self, unit: Unit) -> int | None:
        """Return the number of the thing it belongs to, None where it belongs to none."""
        if unit == "turn":
            return self.turn
        if unit == "response":
            return self.response
        return self.number if unit == "event" else 0


def concerned(seen: Seen, only: Only, unit: Unit, luck: Luck) -> bool:
    """Tell whether a fault that is limited like this happens to an event."""
    number = seen.of(unit)
    return (
        number is not None
        and among(only.turn, seen.turn)
        and among(only.response, seen.response)
        and luck.throw(number) < only.probability
    )


class Census:
    """Counts the events of one session, its user's turns and its responses, as they come."""

    def __init__(self) -> None:
        self._events = 0
        self._turns: dict[str, int] = {}
        self._responses: dict[str, tuple[int, int]] = {}  # number and turn, by id of either
        self._deltas: dict[int, int] = {}
        self._turn_count = 0
        self._response_count = 0
        self._last_done: tuple[int, int] | None = None

    def see(self, effect: Emit | Close) -> Seen:
        """Return the effect with its place."""
        self._events += 1
        if isinstance(effect, Close):
            return Seen(effect, self._events)
        event = effect.event
        self._learn(event)
        response, turn = self._response_of(event) or (None, self._turn_of(event))
        delta = None
        if response is not None and event["type"].endswith(".delta"):
            delta = self._deltas[response] = self._deltas.get(response, 0) + 1
        return Seen(effect, self._events, turn, response, delta)

    def _learn(self, event: Event) -> None:
        kind = event["type"]
        if kind == "response.created":
            self._response_count += 1
            place = (self._response_count, self._turn_count)
            _note(self._responses, event["response"]["id"], place)
        elif kind == "response.output_item.added":
            place = self._responses.get(event["response_id"], (0, 0))
            _note(self._responses, event["item"]["id"], place)
        elif kind == "conversation.item.added" and event["item"].get("role") == "user":
            self._turn_count += 1
            _note(self._turns, event["item"]["id"], self._turn_count)
        elif kind == "response.done":
            self._last_done = self._responses.get(event["response"]["id"])

    def _response_of(self, event: Event) -> tuple[int, int] | None:
        if event["type"] == "rate_limits.updated":
            return self._last_done
        whole = event.get("response") or {}
        ids = (event.get("response_id"), whole.get("id"), _item_id(event))
        known = (self._responses.get(one) for one in ids if one is not None)
        return next((place for place in known if place is not None), None)

    def _turn_of(self, event: Event) -> int | None:
        item_id = _item_id(event)
        if item_id in self._turns:
            return self._turns[item_id]
        return self._turn_count + 1 if event["type"] in _OF_THE_NEXT_TURN else None


def _item_id(event: Event) -> str:
    item = event.get("item") or {}
    return str(event.get("item_id") or item.get("id") or "")


def _note(known: dict[str, Any], key: str, value: Any) -> None:
    known[key] = value
    if len(known) > _MAX_KNOWN:
        del known[next(iter(known))]

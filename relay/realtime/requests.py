"""Separates the engine's answers to the client's requests from those to the relay's own."""

from collections import deque
from typing import Final

from relay.realtime.effects import RuleOutcome
from relay.realtime.events import Event

_STAMP: Final = "relay_"  # on a client's event that had no id
_OWN: Final = "relay_own_"  # on an event of the relay's
_TRUNCATE: Final = "conversation.item.truncate"
_MAX_TRUNCATIONS: Final = 256  # items that the relay truncated and a client may truncate as well
_MAX_PENDING: Final = 256  # updates without an answer; beyond that the oldest are forgotten


class RequestTracker:
    """Correlates requests and answers by `event_id`; a rule of both directions.

    Every `session.update` goes up with an `event_id`, the client's own or a stamp of the relay's,
    so that its `session.updated` and its `error` reach whoever asked (docs/architecture.md,
    "Words"). A stamp is removed before the client sees the error.
    """

    def __init__(self) -> None:
        self._updates: deque[tuple[str, bool]] = deque(maxlen=_MAX_PENDING)
        self._stamps = 0
        self._truncated: dict[str, int] = {}  # item id to the ms that the relay left of it

    def track(self, event: Event, *, shown: bool) -> Event:
        """Expect the answer to a `session.update`; returns the event with an `event_id`.

        `shown` says whether the client sees the answer.
        """
        event_id = event.get("event_id")
        if not isinstance(event_id, str):
            self._stamps += 1
            event_id = f"{_STAMP}{self._stamps}"
        self._updates.append((event_id, shown))
        return {**event, "event_id": event_id}

    def stamp(self, event: Event) -> Event:
        """An event of the relay's own with an `event_id`; the client sees no error about it."""
        self._stamps += 1
        if event["type"] == _TRUNCATE:
            self._truncated[event["item_id"]] = event["audio_end_ms"]
            if len(self._truncated) > _MAX_TRUNCATIONS:
                del self._truncated[next(iter(self._truncated))]
        return {**event, "event_id": f"{_OWN}{self._stamps}"}

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event as it may go up: an update is tracked, a truncation capped."""
        if event["type"] == "session.update":
            return RuleOutcome([self.track(event, shown=True)])
        if event["type"] == _TRUNCATE:
            return RuleOutcome([self._cap_truncation(event)])
        return RuleOutcome([event])

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event as the client may see it; none for an answer to the relay."""
        if event["type"] == "session.updated":
            shown = self._updates.popleft()[1] if self._updates else True
            return RuleOutcome([event] if shown else [])
        if event["type"] == "error":
            return RuleOutcome(self._resolve_error(event))
        return RuleOutcome([event])

    def _cap_truncation(self, event: Event) -> Event:
        """Never keep more of an item than the relay left of it.

        At a pause both truncate the same answer, and the client heard a few ms more than the relay
        knew of: the engine would refuse that, and the client had done nothing wrong.
        """
        most = self._truncated.get(event["item_id"], event["audio_end_ms"])
        return {**event, "audio_end_ms": min(event["audio_end_ms"], most)}

    def _resolve_error(self, event: Event) -> list[Event]:
        fault = event.get("error")
        event_id = fault.get("event_id") if isinstance(fault, dict) else None
        for update in self._updates:
            if update[0] == event_id:
                self._updates.remove(update)
                if not update[1]:
                    return []
                break
        if isinstance(event_id, str) and event_id.startswith(_OWN):
            return []
        if isinstance(fault, dict) and isinstance(event_id, str) and event_id.startswith(_STAMP):
            return [{**event, "error": {**fault, "event_id": None}}]
        return [event]

"""Who asked the engine for what: which replies are the client's, which the relay's own."""

from collections import deque
from typing import Final

from relay.realtime.events import Event

_STAMP: Final = "relay_"  # on a client's event that had no id
_OWN: Final = "relay_own_"  # on an event of the relay's
_TRUNCATE: Final = "conversation.item.truncate"
_MAX_CUT: Final = 256  # answers that the relay cut, of which a client may still say the same
_MAX_PENDING: Final = 256  # updates on their way; beyond that the oldest are forgotten


class RequestTracker:
    """Follows `session.update` up and its answer down (docs/architecture.md, "Words").

    Every update that goes up carries an `event_id`, the client's own or a stamp of ours, so that
    an error can be told apart from the answer to another update; a stamp is taken off again
    before the client sees the error.
    """

    def __init__(self) -> None:
        self._updates: deque[tuple[str, bool]] = deque(maxlen=_MAX_PENDING)
        self._stamps = 0
        self._cut: dict[str, int] = {}  # what the relay truncated, to how many ms

    def asked(self, event: Event, *, shown: bool) -> Event:
        """Note a `session.update` on its way up; returns it with an `event_id`.

        `shown` says whether its answer is for the client to see.
        """
        event_id = event.get("event_id")
        if not isinstance(event_id, str):
            self._stamps += 1
            event_id = f"{_STAMP}{self._stamps}"
        self._updates.append((event_id, shown))
        return {**event, "event_id": event_id}

    def own(self, event: Event) -> Event:
        """An event of the relay's own on its way up; an error about it is not for the client."""
        self._stamps += 1
        if event["type"] == _TRUNCATE:
            self._cut[event["item_id"]] = event["audio_end_ms"]
            if len(self._cut) > _MAX_CUT:
                del self._cut[next(iter(self._cut))]
        return {**event, "event_id": f"{_OWN}{self._stamps}"}

    def capped(self, event: Event) -> Event:
        """A client's event on its way up; what the relay cut already is not cut to be longer.

        At a pause both truncate the same answer, and the client heard a few ms more than the relay
        knew of: the engine would refuse that, and the client had done nothing wrong.
        """
        if event["type"] != _TRUNCATE:
            return event
        most = self._cut.get(event["item_id"], event["audio_end_ms"])
        return {**event, "audio_end_ms": min(event["audio_end_ms"], most)}

    def answered(self, event: Event) -> Event | None:
        """An event on its way down as the client may see it, None when it is the relay's own."""
        if event["type"] == "session.updated":
            return event if self._next_shown() else None
        if event["type"] == "error":
            return self._error(event)
        return event

    def _next_shown(self) -> bool:
        return self._updates.popleft()[1] if self._updates else True

    def _error(self, event: Event) -> Event | None:
        fault = event.get("error")
        event_id = fault.get("event_id") if isinstance(fault, dict) else None
        for update in self._updates:
            if update[0] == event_id:
                self._updates.remove(update)
                if not update[1]:
                    return None
                break
        if isinstance(event_id, str) and event_id.startswith(_OWN):
            return None
        if isinstance(fault, dict) and isinstance(event_id, str) and event_id.startswith(_STAMP):
            return {**event, "error": {**fault, "event_id": None}}
        return event

"""What one client is told, in the dialect it reads and without what its grant hides; pure."""

from collections.abc import Sequence

from relay.realtime import events
from relay.realtime.actions import Action, ToClient
from relay.realtime.events import BadEvent, Event, Frame
from relay.realtime.grant import Grant
from relay.realtime.own_events import locked_fields
from relay.realtime.scrub import scrub
from relay.realtime.view import View


class ClientSide:
    """The last step of an event on its way down."""

    def __init__(self, view: View, grant: Grant) -> None:
        self._view = view
        self._grant = grant
        self._errors = 0

    @property
    def is_aware(self) -> bool:
        """Whether this client knows the relay's own events."""
        return self._grant.relay_events

    def shown(self, event: Event, frame: Frame | None = None) -> list[Action]:
        """An event as the client sees it; `frame` is the event where it is still as it came."""
        shown = scrub(event, self._grant)
        if frame is None or shown is not event:
            frame = events.encode(shown)
        seen = self._view.down(frame, shown["type"], shown)
        return [ToClient(seen)] if seen is not None else []

    def unread(self, frame: Frame, kind: str) -> list[Action]:
        """An event that no rule reads."""
        try:
            seen = self._view.down(frame, kind, None)
        except BadEvent:
            seen = frame
        return [ToClient(seen)] if seen is not None else []

    def refusal(self, bad: BadEvent) -> Action:
        """The `error` event for a frame that is not an event; the session goes on."""
        self._errors += 1
        told = events.error(
            bad.message,
            code=bad.code,
            param=bad.param,
            client_event_id=bad.event_id,
            event_id=f"event_relay_{self._errors}",
        )
        return ToClient(events.encode(self._view.error(told)))

    def warned(self, removed: Sequence[str]) -> list[Action]:
        """That fields were not the client's to set."""
        return self.told(locked_fields(removed)) if removed else []

    def told(self, event: Event) -> list[Action]:
        """An event of the relay's own, for who knows those."""
        return [ToClient(events.encode(event))] if self.is_aware else []

    def announced(self, conversation_id: str) -> list[Action]:
        """A new conversation's id, where this dialect has an event for it."""
        told = self._view.announce(conversation_id)
        return [ToClient(events.encode(told))] if told is not None else []

"""A conversation that continues: an engine with an item list, a client and a store that follow."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.earlier import EarlierRecords, earlier_ids, seed_items
from relay.realtime.effects import CorrectEarlier, Effect, RecordUtterance, ToClient, ToEngine
from relay.realtime.events import encode
from relay.realtime.records import Record, Utterance
from tests.realtime import wire_events as wire
from tests.realtime.session_core import CREATED, from_engine, new_core
from tests.realtime.wire_events import Event


class Continued:
    """One session of a conversation with this history, and what each side of it knows.

    `engine` holds the engine's items in its order, `client` the ids in the order that the events
    tell, `stored` the newest version of what was recorded, `corrected` what was recorded of earlier
    sessions, `shown` all events of the client's; `obey` is what the engine does with an event.
    """

    def __init__(self, *history: Record) -> None:
        core = new_core(created=False, conversation_id="c1")
        setup = replace(
            core.setup,
            earlier_items=seed_items(history),
            earlier_ids=earlier_ids(history),
            earlier=EarlierRecords(history),
        )
        self.core = SessionCore(setup, Deadlines(SessionLimits(10.0, 1800.0, 300.0, 9000.0), 0.0))
        self.history = history
        self.engine: list[Event] = []
        self.client: list[str] = []
        self.shown: list[Event] = []
        self.stored: dict[str, Utterance] = {}
        self.corrected: list[Record] = []
        self.obey: Callable[[Event], None] = self._obey
        self._generated = 0
        self._take(from_engine(self.core, CREATED))

    def send(self, *events: Event) -> None:
        """The client sends events."""
        for event in events:
            self._take(self.core.from_client(encode(event), 2.0))

    def emit(self, *events: Event) -> None:
        """The engine sends events that its list of items does not follow from."""
        for event in events:
            self._take(from_engine(self.core, event, 2.0))

    def say(self, item_id: str, text: str) -> None:
        """The learner says something, which the engine puts at the end."""
        previous = self.engine[-1]["id"] if self.engine else None
        self.engine.append(wire.message(item_id, "user"))
        self.emit(*wire.spoken_turn(item_id, previous), wire.heard(item_id, text))

    def texts(self) -> list[str]:
        """What the engine knows as said, in its order."""
        return [part["text"] for item in self.engine for part in item.get("content", ())]

    def transcript(self) -> list[str]:
        """What the store has, in conversation order."""
        said = sorted(self.stored.values(), key=lambda one: one.position)
        earlier = [one.utterance for one in self.history]
        return [one.text for one in (*earlier, *said)]

    def _take(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, RecordUtterance):
                self.stored[effect.utterance.item_id] = effect.utterance
            elif isinstance(effect, CorrectEarlier):
                self.corrected.append(effect.record)
            elif isinstance(effect, ToClient):
                self._show(json.loads(bytes(effect.frame)))
            elif isinstance(effect, ToEngine):
                self.obey(json.loads(bytes(effect.frame)))

    def _show(self, event: Event) -> None:
        self.shown.append(event)
        if event["type"] == "conversation.item.added":
            previous = event["previous_item_id"]
            at = self.client.index(previous) + 1 if previous is not None else 0
            self.client.insert(at, event["item"]["id"])
        if event["type"] == "conversation.item.deleted":
            self.client.remove(event["item_id"])

    def _obey(self, event: Event) -> None:
        if event["type"] == "conversation.item.create":
            self._create(event)
        elif event["type"] == "conversation.item.delete":
            self.engine = [item for item in self.engine if item["id"] != event["item_id"]]
            self.emit({"type": "conversation.item.deleted", "item_id": event["item_id"]})

    def _create(self, event: Event) -> None:
        self._generated += 1
        item = {"id": f"engine_{self._generated}", "status": "completed", **event["item"]}
        ids = [one["id"] for one in self.engine]
        assert item["id"] not in ids, "an engine refuses an id that it has"
        previous = event.get("previous_item_id") or (ids[-1] if ids else None)
        at = 0 if previous in (None, "root") else ids.index(previous) + 1
        self.engine.insert(at, item)
        told = ids[at - 1] if at else None  # of an item at the front it tells no predecessor
        self.emit(wire.item("added", item, told), wire.item("done", item, told))


def create(item_id: str | None, text: str, previous: str | None, role: str = "user") -> Event:
    """A client's `conversation.item.create` of a message."""
    kind = "input_text" if role == "user" else "output_text"
    item: Event = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    event: Event = {"type": "conversation.item.create", "item": item}
    if item_id is not None:
        item["id"] = item_id
    return event if previous is None else {**event, "previous_item_id": previous}

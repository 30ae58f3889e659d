"""Utterances get their place, their `seq` and their final words here, each once."""

from collections.abc import Container, Mapping
from typing import Any, Final, cast

import msgspec

from relay.realtime.delays import Delays
from relay.realtime.heard import heard_text
from relay.realtime.order import Order
from relay.realtime.transcript_item import Item
from relay.realtime.utterance import Origin, Speaker, State, Utterance

_SPEAKERS: Final = ("user", "assistant")


class Settling:
    """Keeps what settled of a session's items, and in which order."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        self._items = items
        self._order = Order()
        self._settled: dict[tuple[str, int], Utterance] = {}
        self.seq = 0
        self.delays = Delays()
        self.coaches: dict[str, str] = {}  # who said an item in the model's place

    def has_settled(self, item: Item) -> bool:
        """Whether any of the item's words settled."""
        return any((item.id, index) in self._settled for index in item.parts)

    def last(self, gone: Container[str]) -> str | None:
        """The item at the conversation's end, of those that are not gone."""
        return self._order.last(gone)

    def link(self, item: Item, previous: Any, over: float | None = None) -> None:
        """Give the item its place; `created` follows the places, whatever arrived first.

        `over` is when the turn that it holds was over, where that is later than its first sign.
        """
        if over is not None:
            self.delays.turn(over)
        if item.id in self._order:
            return
        if over is None and item.role == "user":
            self.delays.turn(item.seen)
        elif item.generated and item.id not in self.coaches:
            self.delays.answer(item.seen)
        self._order.link(item.id, previous if isinstance(previous, str) else None)
        before, after = self._order.neighbours(item.id)
        item.created = max(item.seen, self._items[before].created if before else 0.0)
        if after is not None:
            item.created = min(item.created, self._items[after].created)

    def settle(self, item: Item, state: State) -> list[Utterance]:
        """The item's utterances as they are now; those that say nothing new are left out."""
        if item.role not in _SPEAKERS:
            return []
        settled = []
        for index in sorted(item.parts):
            text = item.parts[index].so_far()
            if text:
                self.link(item, None)
                settled += self._changed(self._utterance(item, index, text, state))
        return settled

    def _utterance(self, item: Item, index: int, text: str, state: State) -> Utterance:
        origin: Origin = "voice"
        if item.role == "user" and item.typed:
            origin = "text"
        elif item.role == "assistant" and not item.generated:
            origin = "seeded"
        return Utterance(
            item_id=item.id,
            content_index=index,
            role=cast(Speaker, item.role),
            text=text,
            heard_text=heard_text(text, item.heard_ms, item.audio_ms),
            state=state,
            origin=origin,
            seq=0,
            position=self._order.position(item.id),
            created_at=item.created,
            heard_ms=item.heard_ms,
            heard_estimated=item.estimated,
            audio_ms=item.audio_ms or None,
            coach_id=self.coaches.get(item.id),
        )

    def _changed(self, utterance: Utterance) -> list[Utterance]:
        """The utterance with the next `seq`, or nothing when it says what was already settled."""
        key = utterance.item_id, utterance.content_index
        known = self._settled.get(key)
        if known is not None and msgspec.structs.replace(utterance, seq=known.seq) == known:
            return []
        self.seq += 1
        self._settled[key] = msgspec.structs.replace(utterance, seq=self.seq)
        return [self._settled[key]]

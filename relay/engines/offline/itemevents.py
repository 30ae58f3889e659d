"""What a client does to the items of its conversation: create, retrieve, truncate, delete."""

import copy
from collections import deque

from relay.engines.offline import items
from relay.engines.offline.answering import Answering
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.items import Item
from relay.engines.offline.outgoing import Outgoing
from relay.engines.offline.refusals import Event, Refusal
from relay.engines.offline.transcripts import Transcripts

MAX_EARLY = 64
"""Outputs of functions that may wait for the end of a response; one more is refused."""


class ItemEvents:
    """The events about items, over the conversation and what is written down of it."""

    def __init__(
        self,
        conversation: Conversation,
        transcripts: Transcripts,
        answering: Answering,
        out: Outgoing,
    ) -> None:
        self._conversation = conversation
        self._transcripts = transcripts
        self._answering = answering
        self._out = out
        self._early: deque[Event] = deque()

    def create(self, event: Event, model: str | None) -> None:
        """Add the client's item; `model` writes down what is said in it. Raises `Refusal`.

        The output of a function that comes while a response runs joins after it (PROTOCOL §4.6).
        """
        item = items.from_client(event["item"], "item", self._out.new_id)
        place = self._conversation.place(event.get("previous_item_id"))
        if item.body["type"] == "function_call_output" and self._answering.running:
            if len(self._early) >= MAX_EARLY:
                raise Refusal("rate_limit_exceeded", "Too many outputs wait for this response.")
            self._early.append(event)
            return
        self.add(item, place, model)
        if item.body["type"] == "mcp_approval_response":
            self._answering.decide(item.body["approval_request_id"], item.body["approve"])

    def settle(self, model: str | None) -> None:
        """Add what has waited for the end of a response."""
        while self._early and not self._answering.running:
            event = self._early.popleft()
            try:
                self.create(event, model)
            except Refusal as refusal:
                self._out.refuse(refusal, event.get("event_id"))

    def add(self, item: Item, place: int | None, model: str | None) -> None:
        """Put an item in its place (the end), and have it written down where it is sound."""
        previous = self._conversation.add(item, place)
        body = copy.deepcopy(item.body)
        self._out.emit("conversation.item.added", previous_item_id=previous, item=body)
        self._out.emit("conversation.item.done", previous_item_id=previous, item=body)
        if item.words is None:
            self._transcripts.ask(item, model)

    def retrieve(self, event: Event, now: float) -> None:
        """Show an item as it is; raises `Refusal`."""
        code = "item_retrieve_invalid_item_id"
        item = self._conversation.get(event["item_id"], "retrieving", code)
        self._out.emit("conversation.item.retrieved", item=items.retrieved(item))

    def truncate(self, event: Event, now: float) -> None:
        """Cut an answer to what was heard; raises `Refusal`."""
        code = "item_truncate_invalid_item_id"
        item = self._conversation.get(event["item_id"], "truncating", code)
        items.truncate(item, event["audio_end_ms"])
        self._out.emit(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=0,
            audio_end_ms=event["audio_end_ms"],
        )

    def delete(self, event: Event, now: float) -> None:
        """Forget an item; raises `Refusal`."""
        code = "item_delete_invalid_item_id"
        item = self._conversation.get(event["item_id"], "deleting", code)
        self._conversation.delete(item)
        self._out.emit("conversation.item.deleted", item_id=item.id)

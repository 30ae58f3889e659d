"""The order of a conversation's items, and how much of it is remembered."""

from collections.abc import Iterator

from relay.engines.offline.items import MAX_ID, Item
from relay.engines.offline.refusals import Refusal

MAX_ITEMS = 1000
"""Items remembered; the eldest are forgotten without a word, as a model's context does."""

MAX_BYTES = 16 << 20
"""Bytes of audio and text remembered (nearly six minutes of PCM); the largest append fits."""


class Conversation:
    """A list of items with OpenAI's `previous_item_id` rules.

    `turns` counts the user's messages: spoken, typed and seeded ones.
    """

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.turns = 0
        self._items: dict[str, Item] = {}
        self._order: list[str] = []

    def __iter__(self) -> Iterator[Item]:
        """Go through the items in conversation order."""
        return (self._items[item_id] for item_id in self._order)

    @property
    def last_id(self) -> str | None:
        """Return the id of the item that the next one follows."""
        return self._order[-1] if self._order else None

    def get(self, item_id: str, doing: str, code: str) -> Item:
        """Return an item; raises `Refusal` that says what could not be done with it."""
        if item_id not in self._items:
            message = f"Error {doing} item: the item with id '{item_id[:MAX_ID]}' does not exist."
            raise Refusal(code, message, "item_id")
        return self._items[item_id]

    def place(self, previous: str | None) -> int:
        """Return where an item that shall follow `previous` goes; raises `Refusal`.

        None appends, "root" puts it first.
        """
        if previous is None:
            return len(self._order)
        if previous == "root":
            return 0
        self.get(previous, "creating", "item_create_invalid_previous_item_id")
        return self._order.index(previous) + 1

    def add(self, item: Item, place: int | None = None) -> str | None:
        """Put an item in its place (the end); returns the id of the one before it."""
        if item.id in self._items:
            message = f"Error adding item: the item with id '{item.id}' already exists."
            raise Refusal("item_create_duplicate_item_id", message, "item.id")
        position = len(self._order) if place is None else place
        self._items[item.id] = item
        self._order.insert(position, item.id)
        self.turns += item.role == "user"
        previous = self._order[position - 1] if position else None
        self.trim()
        return previous

    def delete(self, item: Item) -> None:
        """Forget an item."""
        self._items.pop(item.id, None)
        if item.id in self._order:
            self._order.remove(item.id)

    def before(self, item: Item) -> str | None:
        """Return what `conversation.item.done` says stands before a generated item.

        It is null for the second item of a conversation, a quirk of OpenAI's server (PROTOCOL 5.3).
        """
        position = self._order.index(item.id) if item.id in self._items else 0
        return self._order[position - 1] if position > 1 else None

    def trim(self) -> None:
        """Forget the eldest audio, then the eldest items, when there is too much."""
        excess = sum(item.weight for item in self) - MAX_BYTES
        for item in self:
            if excess <= 0:
                break
            excess -= len(item.audio)
            item.audio = b""
        while len(self._order) > MAX_ITEMS or (excess > 0 and len(self._order) > 1):
            eldest = self._items.pop(self._order.pop(0))
            excess -= eldest.weight

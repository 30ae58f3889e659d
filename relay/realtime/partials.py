"""The words so far of what nobody has finished saying; read only while somebody watches."""

from itertools import islice
from typing import Final, NamedTuple, cast

from relay.realtime.settling import Settling
from relay.realtime.transcript_item import Item
from relay.realtime.utterance import Speaker

_NEWEST: Final = 32  # items looked at: what is open is always among the last that began
_SPEAKING_ROLES: Final = ("user", "assistant")


class Partial(NamedTuple):
    """What is known so far of one content part that has not settled, and which coach says it."""

    item_id: str
    content_index: int
    role: Speaker
    text: str
    coach_id: str | None = None


class Partials:
    """Looks into a transcript's own items when asked, so that collecting words costs nothing."""

    def __init__(self, items: dict[str, Item], settling: Settling) -> None:
        self._items = items
        self._settling = settling

    @property
    def settled(self) -> int:
        """The newest `seq`: how many times something settled."""
        return self._settling.seq

    def open(self) -> list[Partial]:
        """The open parts that have words, the oldest item first."""
        coaches = self._settling.coaches
        newest = [self._items[key] for key in islice(reversed(self._items), _NEWEST)]
        return [
            Partial(item.id, index, cast("Speaker", item.role), text, coaches.get(item.id))
            for item in reversed(newest)
            if item.role in _SPEAKING_ROLES
            and not item.deleted
            and not self._settling.has_settled(item)
            for index, part in sorted(item.parts.items())
            if (text := part.so_far())
        ]

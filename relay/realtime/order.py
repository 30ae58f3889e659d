"""Conversation order: items linked by `previous_item_id`, kept as positions that can be sorted."""

from bisect import bisect_left, insort
from collections.abc import Container

ROOT = "root"


class Order:
    """Positions of items; the first word on an item's place wins (PROTOCOL §5.3, §5.18).

    An item after the last one gets the next whole number, one between two others the number
    between theirs, so no position ever changes.
    """

    def __init__(self) -> None:
        self._position: dict[str, float] = {}
        self._sorted: list[tuple[float, str]] = []

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._position

    def position(self, item_id: str) -> float:
        """Where the item stands; KeyError for one that was never linked."""
        return self._position[item_id]

    def neighbours(self, item_id: str) -> tuple[str | None, str | None]:
        """The items right before and right after this one."""
        at = self._index(item_id)
        before = self._sorted[at - 1][1] if at else None
        after = self._sorted[at + 1][1] if at + 1 < len(self._sorted) else None
        return before, after

    def last(self, gone: Container[str]) -> str | None:
        """The last item of those that are not gone."""
        return next((key for _, key in reversed(self._sorted) if key not in gone), None)

    def link(self, item_id: str, previous: str | None) -> None:
        """Put the item after `previous`; "root" is the front, an unknown one the end."""
        if item_id in self._position:
            return
        position = self._place(previous)
        self._position[item_id] = position
        insort(self._sorted, (position, item_id))

    def _place(self, previous: str | None) -> float:
        if not self._sorted:
            return 1.0
        if previous == ROOT:
            return self._sorted[0][0] - 1.0
        at = self._index(previous) if previous in self._position else len(self._sorted) - 1
        if at == len(self._sorted) - 1:
            return self._sorted[-1][0] + 1.0
        return (self._sorted[at][0] + self._sorted[at + 1][0]) / 2

    def _index(self, item_id: str | None) -> int:
        assert item_id is not None  # noqa: S101 - narrows the type for `_place`
        return bisect_left(self._sorted, (self._position[item_id], item_id))

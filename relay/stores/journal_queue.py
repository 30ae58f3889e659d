"""What the journal has in memory: records that wait for the disk, or are on their way to it."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from relay.realtime.records import AnyRecord, Record
from relay.stores.journal_state import JournalLimits, size_of


class Entry(NamedTuple):
    """A record since it was taken, in Unix seconds and by the journal's clock."""

    record: AnyRecord
    taken_at: float
    received: float


class JournalQueue:
    """Records in the order they came. The oldest form the batch, until that is on disk."""

    def __init__(self, limits: JournalLimits) -> None:
        self._limits = limits
        self._later: deque[Entry] = deque()
        self._characters = 0
        self.batch: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self._later) + len(self.batch)

    def add(self, entry: Entry) -> bool:
        """Queue it, or say that there is no room."""
        characters = self._characters + size_of(entry.record)
        many, much = self._limits.queued_records, self._limits.queued_characters
        if len(self) >= many or characters > much:
            return False
        self._characters = characters
        self._later.append(entry)
        return True

    def fill(self, most: int) -> tuple[Entry, ...]:
        """The batch, with what came after it as far as it holds `most`."""
        room = min(most - len(self.batch), len(self._later))
        self.batch += tuple(self._later.popleft() for _ in range(room))
        return self.batch

    def written(self) -> tuple[Entry, ...]:
        """The batch is on disk: let go of it."""
        batch, self.batch = self.batch, ()
        self._characters -= sum(size_of(entry.record) for entry in batch)
        return batch

    def said(self, conversation_id: str) -> list[Record]:
        """The words of a conversation."""
        records = [entry.record for entry in (*self.batch, *self._later)]
        words = [record for record in records if isinstance(record, Record)]
        return [record for record in words if record.head.conversation_id == conversation_id]

    def forget(self, user_id: str, spared: Collection[Entry]) -> int:
        """Drop what is one person's but for `spared` entries; returns how many there were."""
        before = len(self)
        kept = [e for e in (*self.batch, *self._later) if _keeps(e, user_id, spared)]
        first = sum(_keeps(entry, user_id, spared) for entry in self.batch)
        self.batch, self._later = tuple(kept[:first]), deque(kept[first:])
        self._characters = sum(size_of(entry.record) for entry in kept)
        return before - len(kept)


def _keeps(entry: Entry, user_id: str, spared: Collection[Entry]) -> bool:
    return entry.record.head.user_id != user_id or entry in spared


def merged(on_disk: Iterable[Record], queued: Sequence[Record]) -> list[Record]:
    """Each record once, in its newest version, in the order they came.

    `queued` was looked at first. What of it is not on disk is still to come there, or was stored
    meanwhile: then something behind it is on disk already.
    """
    disk = {record.id: record for record in on_disk}
    written = [r.id in disk and disk[r.id].seq >= r.seq for r in queued]
    settled = max((n for n, is_there in enumerate(written) if is_there), default=0)
    newest = {record.id: record for record in queued[:settled] if record.id not in disk} | disk
    for record in queued:
        known = newest.get(record.id)
        if known is None or known.seq < record.seq:
            newest[record.id] = record
    return list(newest.values())

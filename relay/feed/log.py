"""One session's committed utterances in memory: the newest version of each, by `seq`."""

from collections import deque
from itertools import takewhile
from typing import Final

from relay.realtime.records import Record

RECORDS: Final = 200
"""Most utterances of one session, 110 KiB; older ones are read from the disk."""
CHARACTERS: Final = 65_536
"""Most characters of them: one answer of a model's has some hundred, at most some ten thousand."""


class Log:
    """Takes versions of utterances with rising `seq`; whatever is not above `floor` may be gone."""

    __slots__ = (
        "_characters",
        "_max_characters",
        "_max_records",
        "_records",
        "floor",
        "missing",
        "top",
    )

    def __init__(self, records: int = RECORDS, characters: int = CHARACTERS) -> None:
        self._max_records = records
        self._max_characters = characters
        self._records: dict[str, Record] = {}  # the order of insertion is that of `seq`
        self._characters = 0
        self.floor = 0
        self.top = 0
        self.missing = 0  # numbers that were left out: words that were lost before the disk

    def __len__(self) -> int:
        return len(self._records)

    def take(self, record: Record) -> bool:
        """Keep a record; False for a repeat, which changes nothing."""
        if record.seq <= self.top:
            return False
        corrected = self._records.pop(record.id, None)
        if corrected is not None:
            self._characters -= _size(corrected)
        self._records[record.id] = record
        self._characters += _size(record)
        self.missing += record.seq - self.top - 1
        self.top = record.seq
        while len(self) > self._max_records or self._characters > self._max_characters:
            self._forget_oldest()
        return True

    def since(self, seq: int) -> list[Record]:
        """The kept records above `seq`, in its order."""
        newer = deque[Record]()
        newer.extendleft(takewhile(lambda r: r.seq > seq, reversed(self._records.values())))
        return list(newer)

    def forget(self) -> None:
        """Keep no record; `top` stays."""
        self._records.clear()
        self._characters = 0
        self.floor = self.top

    def _forget_oldest(self) -> None:
        oldest = self._records.pop(next(iter(self._records)))
        self._characters -= _size(oldest)
        self.floor = oldest.seq


def _size(record: Record) -> int:
    return len(record.utterance.text) + len(record.utterance.heard_text)

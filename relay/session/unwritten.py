"""A journal that writes no words: for agents whose conversations are not to be stored."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from relay.interfaces import Journal
from relay.realtime.records import ActionRecord, AnyRecord, Record


class Unwritten:
    """A `relay.interfaces.Journal` before the one on disk.

    What was said goes to `show` alone, for those who follow the call now. What the call used, when
    it was and what a coach did is written, but for the words of a whisper.
    """

    def __init__(self, journal: Journal, show: Callable[[Sequence[AnyRecord]], None]) -> None:
        self._journal = journal
        self._show = show

    def append(self, record: AnyRecord) -> None:
        """Write it or show it; never blocks, never raises."""
        if isinstance(record, Record):
            # Not at once: whoever is shown it must not be able to disturb the call.
            asyncio.get_running_loop().call_soon(self._show, [record])
            return
        if isinstance(record, ActionRecord):
            told = {name: text for name, text in record.details.items() if name != "text"}
            record = msgspec.structs.replace(record, details=told)
        self._journal.append(record)

"""Hands what was said to the journal, with the name of the session it was said in."""

from relay.interfaces import Journal
from relay.realtime.utterance import Head, Record, Utterance, record_id


class Recorder:
    """One session's way to the journal; `record` never waits."""

    def __init__(self, journal: Journal, head: Head) -> None:
        self._journal = journal
        self._head = head
        self.count = 0

    def record(self, utterance: Utterance) -> None:
        """Journal one settled utterance."""
        self.count += 1
        key = record_id(self._head.session_id, utterance.item_id, utterance.content_index)
        self._journal.append(Record(id=key, head=self._head, utterance=utterance))

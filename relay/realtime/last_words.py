"""Follows which of the learner's turns have no words yet, for sessions whose client has left."""

from typing import Any, Final

from relay.realtime.events import Event

GIVEN_UP_SECONDS: Final = 30.0
"""After the end of a turn its words are awaited no more: some engines leave a turn out."""
_MAX_TURNS: Final = 32  # awaited at once; a learner's turn lasts a second, its words take three

_COMMITTED: Final = "input_audio_buffer.committed"
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."
_COMPLETED: Final = _TRANSCRIPTION + "completed"
_SETTLED: Final = frozenset({_COMPLETED, _TRANSCRIPTION + "failed", "conversation.item.deleted"})
_ITEMS: Final = frozenset({"conversation.item.added", "conversation.item.done"})
_OF_LEARNER: Final = frozenset(
    {_COMMITTED, "error", _COMPLETED, *(_TRANSCRIPTION + kind for kind in ("delta", "failed"))}
)


class AwaitedWords:
    """The turns that were committed and not transcribed yet. Times are seconds of one clock.

    Of an engine that has let the words of its first turns go by, none are expected.
    """

    def __init__(self) -> None:
        self._has_any = False
        self._turns: dict[str, float] = {}  # item ids, and when each was committed

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._turns

    def observe(self, event: Event, now: float) -> None:
        """Take any event of the engine."""
        kind, item_id = event["type"], event.get("item_id")
        if not isinstance(item_id, str):
            return
        if kind == _COMMITTED:
            self._turns[item_id] = now
            if len(self._turns) > _MAX_TURNS:
                del self._turns[next(iter(self._turns))]
        elif kind in _SETTLED and event.get("status", "completed") == "completed":
            self._has_any = True
            self._turns.pop(item_id, None)

    def any(self, now: float) -> bool:
        """Whether words are to be expected still."""
        ages = [now - since for since in self._turns.values()]
        is_late = any(age >= GIVEN_UP_SECONDS for age in ages)
        return (self._has_any or not is_late) and any(age < GIVEN_UP_SECONDS for age in ages)


def may_be_last_words(kind: str) -> bool:
    """Whether an engine's event of this type may tell what a learner said who has left."""
    return kind in _OF_LEARNER or kind in _ITEMS


def is_of_learner(event: Event) -> bool:
    """Whether such an event is about what the learner said: items may be answers."""
    item: Any = event.get("item")
    return event["type"] in _OF_LEARNER or (isinstance(item, dict) and item.get("role") == "user")

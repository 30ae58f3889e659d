"""What a coach tells the model behind the learner's back, or has it say next; pure."""

from collections import deque
from typing import Final

from relay.realtime.events import Event
from relay.realtime.ledger import Ledger

MAX_WAITING: Final = 8
"""Sentences that wait to be said; a coach who sends more is told to wait."""
_BUSY: Final = "conversation_already_has_active_response"


class Whispers:
    """Sentences the model shall say, one answer each, in order, when it is not answering."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[str] = deque()
        self._sent: tuple[str, str] | None = None  # event id and text on its way

    @property
    def is_full(self) -> bool:
        """Whether no further sentence can wait."""
        return len(self._waiting) >= MAX_WAITING

    def say(self, text: str) -> None:
        """Queue a sentence."""
        self._waiting.append(text)

    def release(self, *, free: bool) -> list[Event]:
        """What goes up now; `free` says that the model neither answers nor must be silent."""
        if not free or self._sent is not None or not self._waiting:
            return []
        text = self._waiting.popleft()
        event = self._ledger.own(_response(text))
        self._sent = event["event_id"], text
        return [event]

    def created(self) -> None:
        """An answer began: what was sent is being said, or will come back as an error."""
        self._sent = None

    def refused(self, event: Event) -> None:
        """An error: where it is about ours and the model was just answering, try again after."""
        fault = event.get("error")
        if self._sent is None or not isinstance(fault, dict):
            return
        if fault.get("event_id") == self._sent[0]:
            if fault.get("code") == _BUSY:
                self._waiting.appendleft(self._sent[1])
            self._sent = None


def _response(text: str) -> Event:
    told = f"Say exactly this to the person you are talking with, and nothing else: {text}"
    return {"type": "response.create", "response": {"instructions": told, "tool_choice": "none"}}

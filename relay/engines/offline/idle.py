"""When a user who says nothing is spoken to: `idle_timeout_ms` (PROTOCOL §4.9)."""

import math

from relay.engines.offline.items import Item

_PROMPT = (
    "No user speech was detected for a while. Ask shortly whether the user is still there, or go "
    "on with the conversation."
)


class Idle:
    """The time at which silence has lasted too long; infinity while nobody waits for the user."""

    def __init__(self) -> None:
        self.due = math.inf

    def wait(self, now: float, audio_ms: int, timeout_ms: int | None) -> None:
        """An answer with so much sound has ended: it is still being heard, then the user's turn."""
        self.due = math.inf if timeout_ms is None else now + (audio_ms + timeout_ms) / 1000

    def stop(self) -> None:
        """Somebody speaks."""
        self.due = math.inf


def prompt(item_id: str) -> Item:
    """Return the system's message that makes a model speak first."""
    content = [{"type": "input_text", "text": _PROMPT}]
    body = {"id": item_id, "type": "message", "status": "completed", "role": "system"}
    return Item({**body, "content": content}, words=_PROMPT)

"""Who is calling and what they were granted, as plain data the rules can read."""

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["learner", "coach", "admin"]


@dataclass(frozen=True, slots=True)
class Caller:
    """What a verified token says.

    `sub` is the user's id, `expires_at` in Unix seconds, `agent_id` the token's own agent if any.
    """

    sub: str
    role: Role
    expires_at: float
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What this call may do, decided once at the door.

    `model`, `voice`, `instructions` and `tools` are the server's where they are not None, and then
    the client cannot change them.
    """

    caller: Caller
    agent_id: str
    model: str | None = None
    voice: str | None = None
    instructions: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    conversation_id: str | None = None
    relay_events: bool = False

    @property
    def locked(self) -> frozenset[str]:
        """Names of the session fields that are the server's (`model` always is)."""
        names = ("voice", "instructions", "tools")
        return frozenset({"model", *(n for n in names if getattr(self, n) is not None)})

"""What the journal keeps and a store is given: words, what a call used, and the call itself."""

import uuid
from typing import Literal

import msgspec

from relay.realtime.meter import Line
from relay.realtime.utterance import Head, Record

CoachAction = Literal["pause", "resume", "whisper", "takeover", "release", "end", "note", "summary"]


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, tag="usage"):
    """All that one model used in one session on one UTC day, so far; a higher `seq` is newer.

    `id` is `usage_id`, `micro` what it costs in micro-dollars by the prices of the moment, None
    where the model has no price.
    """

    id: str
    head: Head
    line: Line
    micro: int | None

    @property
    def seq(self) -> int:
        """Of two versions of one record, the higher is the newer."""
        return self.line.seq


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="session"):
    """One call: written when it begins (`seq` 1) and when it has ended (`seq` 2).

    `id` is the session's. `ended_at` is in Unix seconds, `ending` a name of `realtime.endings`;
    both are None while the call lasts.
    """

    id: str
    head: Head
    seq: int
    door: str
    engine: str
    ended_at: float | None = None
    ending: str | None = None


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="action"):
    """What a coach did to a call: the audit, one record a command that changed something.

    `id` is a UUID made when it was done, `at` in Unix seconds. `details` are the command's own.
    """

    id: str
    head: Head
    coach_id: str
    action: CoachAction
    at: float
    details: dict[str, str] = {}

    @property
    def seq(self) -> int:
        """What was done stays done: there is one version."""
        return 1


AnyRecord = Record | UsageRecord | SessionRecord | ActionRecord
"""Each has `id`, `head` and `seq`: storing one twice changes nothing, nor does a lower `seq`."""


def usage_id(session_id: str, line: Line) -> str:
    """UUIDv5 of session, model and day; `session_id` is a UUID."""
    return str(uuid.uuid5(uuid.UUID(session_id), f"usage/{line.day}/{line.model}"))

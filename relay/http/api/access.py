"""Who may see whose sessions: learners their own, coaches their learners', admins all."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from relay.http.api.faults import UNAVAILABLE, Refused
from relay.realtime.grant import Caller

REMEMBERED_SECONDS: Final = 5.0
"""How long a coach's learners are believed; an assignment that is withdrawn counts after that."""
COACHES: Final = 1000
"""Coaches whose learners are remembered."""
Learners = Callable[[str], Awaitable[frozenset[str]]]
log = structlog.get_logger(__name__)


class Access:
    """`learners` gives the users whose sessions a coach may follow, `clock` seconds."""

    def __init__(self, learners: Learners, clock: Callable[[], float]) -> None:
        self._learners = learners
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()

    async def sees(self, caller: Caller) -> Callable[[str], bool]:
        """Say of each user whether this caller may see their sessions.

        Raises `Refused` (503) when a coach's learners cannot be asked for.
        """
        theirs = await self.whose(caller)
        return (lambda _: True) if theirs is None else theirs.__contains__

    async def whose(self, caller: Caller) -> frozenset[str] | None:
        """The users whose sessions this caller may see, None for all; raises as `sees`."""
        if caller.role == "admin":
            return None
        own = frozenset({caller.sub})
        return own | await self._learners_of(caller.sub) if caller.role == "coach" else own

    async def _learners_of(self, coach: str) -> frozenset[str]:
        asked_at, learners = self._known.get(coach, (0.0, frozenset[str]()))
        now = self._clock()
        if coach in self._known and now - asked_at < REMEMBERED_SECONDS:
            return learners
        try:
            learners = await self._learners(coach)
        except Exception as error:  # whatever a store raises: a coach is not let in by guessing
            log.warning("a coach's learners cannot be had", error=type(error).__name__)
            raise Refused(UNAVAILABLE) from error
        self._known[coach] = now, learners
        self._known.move_to_end(coach)
        if len(self._known) > COACHES:
            self._known.popitem(last=False)
        return learners

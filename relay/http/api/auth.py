"""Who asks: the token of a request becomes a caller, who may not ask too often."""

import hmac
import math
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import hdrs, web

from relay.auth.tokens import find_bearer
from relay.http.api.errors import TOO_MANY_FEEDS, UNAUTHORIZED, UNAVAILABLE, ApiError, wait
from relay.realtime import endings
from relay.realtime.endings import SessionRefused as CallerRefused
from relay.realtime.grant import Caller

# ---- How often one caller may ask: a bucket each, of a bounded number of callers.

BURST: Final = 240.0
"""Requests at once; a page asks one a second, and a hundred reconnects must not lock it out."""
PER_SECOND: Final = 20.0
"""Requests that are given back."""
CALLERS: Final = 10_000
"""Buckets kept, 200 bytes each; the caller who was away longest is forgotten first."""
FEEDS: Final = 50
"""Feeds of one caller at once."""


class RateLimiter:
    """`clock` is in seconds."""

    def __init__(
        self,
        clock: Callable[[], float],
        burst: float = BURST,
        per_second: float = PER_SECOND,
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, as of when
        self._feeds: Counter[str] = Counter()

    def ask(self, caller: str) -> None:
        """Count one request; raises `ApiError` with the seconds to wait."""
        now = self._clock()
        left, before = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - before) * self._per_second)
        self._buckets[caller] = (max(left - 1.0, 0.0) if left >= 1.0 else left, now)
        if len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        if left < 1.0:
            raise wait(math.ceil((1.0 - left) / self._per_second))

    @contextmanager
    def feed(self, caller: str) -> Iterator[None]:
        """Hold one of the caller's feeds; raises `ApiError` when all are taken."""
        if self._feeds[caller] >= FEEDS:
            raise ApiError(TOO_MANY_FEEDS)
        self._feeds[caller] += 1
        try:
            yield
        finally:
            self._feeds[caller] -= 1
            if not self._feeds[caller]:
                del self._feeds[caller]


# ---- Who may see whose sessions: learners their own, coaches their learners', admins all.

REMEMBERED_SECONDS: Final = 5.0
"""How long a coach's learners are believed; an assignment that is withdrawn counts after that."""
COACHES: Final = 1000
"""Coaches whose learners are remembered."""
Learners = Callable[[str], Awaitable[frozenset[str]]]
log = structlog.get_logger(__name__)


class Authorizer:
    """`learners` gives the users whose sessions a coach may follow, `clock` seconds."""

    def __init__(self, learners: Learners, clock: Callable[[], float]) -> None:
        self._learners = learners
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()

    async def sees(self, caller: Caller) -> Callable[[str], bool]:
        """Say of each user whether this caller may see their sessions.

        Raises `ApiError` (503) when a coach's learners cannot be asked for.
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
            raise ApiError(UNAVAILABLE) from error
        self._known[coach] = now, learners
        self._known.move_to_end(coach)
        if len(self._known) > COACHES:
            self._known.popitem(last=False)
        return learners


SERVICE: Final = Caller(sub="service", role="admin", expires_at=math.inf)
"""Who holds the project's service key."""


@dataclass(frozen=True, slots=True)
class Authenticator:
    """`verify` says whose a token is (`relay.access.tokens.Verifier`)."""

    verify: Callable[[str], Awaitable[Caller]]
    rates: RateLimiter
    service_key: str = field(default="", repr=False)

    async def enter(self, request: web.Request) -> Caller:
        """The caller; raises `ApiError`."""
        token = find_bearer(
            request.headers.get(hdrs.AUTHORIZATION, ""), offered(request), request.query.get
        )
        if token is None:
            raise ApiError(UNAUTHORIZED)
        caller = await self._caller(token)
        self.rates.ask(caller.sub)
        return caller

    async def _caller(self, token: str) -> Caller:
        if self.service_key and hmac.compare_digest(token.encode(), self.service_key.encode()):
            return SERVICE
        try:
            return await self.verify(token)
        except CallerRefused as refused:
            whose = refused.ending == endings.UNAUTHORIZED
            raise ApiError(UNAUTHORIZED if whose else UNAVAILABLE) from refused


def offered(request: web.Request) -> list[str]:
    """The subprotocols that a WebSocket request offers."""
    values = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [word.strip() for value in values for word in value.split(",") if word.strip()]

"""Authenticates a request by its token, limits its rate and decides which sessions it may see."""

import hmac
import math
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import hdrs, web

from relay.admission.buckets import TokenBuckets
from relay.auth.tokens import find_bearer
from relay.http.api.errors import (
    NOT_A_COACH,
    TOKEN_TOO_LONG,
    TOO_MANY_FEEDS,
    UNAUTHORIZED,
    UNAVAILABLE,
    ApiError,
    too_many_requests,
)
from relay.proxies import TrustedProxies
from relay.realtime import endings
from relay.realtime.endings import SessionRefused
from relay.realtime.grant import Caller
from relay.tasks import error_fields

SERVICE: Final = Caller(sub="service", role="admin", expires_at=math.inf)
"""The caller who shows the project's service key."""
BURST: Final = 240.0
"""Requests at once; a page sends one a second, and a hundred reconnects must not lock it out."""
PER_SECOND: Final = 20.0
"""Requests that a bucket regains."""
CALLERS: Final = 10_000
"""Buckets kept, 200 bytes each; the one least recently used is dropped first."""
FEEDS: Final = 50
"""Open feeds of one caller."""
LEARNERS_TTL_SECONDS: Final = 5.0
"""Seconds a coach's learners are cached; a withdrawn assignment takes effect after that."""
COACHES: Final = 1000
"""Coaches whose learners are cached."""

_ERRORS: Final = {endings.UNAUTHORIZED: UNAUTHORIZED, endings.TOKEN_TOO_LONG: TOKEN_TOO_LONG}
"""By the ending that refuses a token; any other says nothing about the token."""

Learners = Callable[[str], Awaitable[frozenset[str]]]
"""Gives the users whose sessions a coach may follow."""
log = structlog.get_logger(__name__)


class RateLimiter:
    """A token bucket for each caller, of a bounded number of callers. `clock` is in seconds."""

    def __init__(
        self,
        clock: Callable[[], float],
        burst: float = BURST,
        per_second: float = PER_SECOND,
    ) -> None:
        self._clock = clock
        self._buckets = TokenBuckets(burst, per_second, CALLERS)
        self._feeds: Counter[str] = Counter()

    def count_request(self, caller: str) -> None:
        """Count one request; raises `ApiError` with the seconds to wait."""
        wait = self._buckets.take(caller, self._clock())
        if wait:
            raise too_many_requests(math.ceil(wait))

    @contextmanager
    def open_feed(self, caller: str) -> Iterator[None]:
        """Count one open feed; raises `ApiError` where the caller has `FEEDS` of them."""
        if self._feeds[caller] >= FEEDS:
            raise ApiError(TOO_MANY_FEEDS)
        self._feeds[caller] += 1
        try:
            yield
        finally:
            self._feeds[caller] -= 1
            if not self._feeds[caller]:
                del self._feeds[caller]


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Finds the caller of a request; `verify` is `relay.auth.tokens.Verifier.verify`.

    `refused` is given the cause of each refusal, as it is logged; `proxies` tell a client's
    address.
    """

    verify: Callable[[str], Awaitable[Caller]]
    limiter: RateLimiter
    service_key: str = field(default="", repr=False)
    refused: Callable[[str], None] = lambda _: None
    proxies: TrustedProxies = field(default_factory=TrustedProxies)

    async def authenticate(self, request: web.Request) -> Caller:
        """The caller, whose request is counted; raises `ApiError`."""
        token = find_bearer(request.headers, offered_subprotocols(request), request.query.get)
        try:
            caller = await self._caller(token)
        except SessionRefused as refused:
            self._note(request, str(refused.__cause__ or refused.ending.name))
            raise ApiError(_ERRORS.get(refused.ending, UNAVAILABLE)) from refused
        self.limiter.count_request(caller.sub)
        return caller

    async def authenticate_coach(self, request: web.Request) -> Caller:
        """The caller, a coach or an admin; raises `ApiError`."""
        caller = await self.authenticate(request)
        if caller.role == "learner":
            raise ApiError(NOT_A_COACH)
        return caller

    async def _caller(self, token: str | None) -> Caller:
        if token is None:
            raise SessionRefused(endings.UNAUTHORIZED)
        if self.service_key and _is_same(token, self.service_key):
            return SERVICE
        return await self.verify(token)

    def _note(self, request: web.Request, cause: str) -> None:
        """Count and log a refusal; the causes are those of the voice doors."""
        self.refused(cause)
        headers = request.headers
        client = self.proxies.client_ip(
            request.remote or "",
            headers.getall("X-Forwarded-For", []),
            headers.get("X-Real-IP"),
        )
        log.info("request refused", cause=cause, client=client, refused=True)


def _is_same(token: str, key: str) -> bool:
    """Compare without telling by the time taken how much is right; a header may hold any bytes."""
    return hmac.compare_digest(token.encode(errors="surrogateescape"), key.encode())


def offered_subprotocols(request: web.Request) -> list[str]:
    """The subprotocols that a WebSocket request offers."""
    values = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


class Authorizer:
    """Learners see their own sessions, coaches also their learners', admins all.

    `clock` is in seconds.
    """

    def __init__(self, learners: Learners, clock: Callable[[], float]) -> None:
        self._learners = learners
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()

    async def visible_to(self, caller: Caller) -> Callable[[str], bool]:
        """A predicate that tells of a user whether this caller may see their sessions.

        Raises `ApiError` (503) when the store does not give a coach's learners.
        """
        users = await self.visible_users(caller)
        return (lambda _: True) if users is None else users.__contains__

    async def visible_users(self, caller: Caller) -> frozenset[str] | None:
        """The users whose sessions this caller may see, None for all; raises as `visible_to`."""
        if caller.role == "admin":
            return None
        own = frozenset({caller.sub})
        return own | await self._learners_of(caller.sub) if caller.role == "coach" else own

    async def _learners_of(self, coach: str) -> frozenset[str]:
        cached_at, learners = self._cache.get(coach, (0.0, frozenset[str]()))
        now = self._clock()
        if coach in self._cache and now - cached_at < LEARNERS_TTL_SECONDS:
            return learners
        try:
            learners = await self._learners(coach)
        except Exception as error:  # whatever a store raises: access is never granted by guessing
            log.warning("could not load a coach's learners", **error_fields(error))
            raise ApiError(UNAVAILABLE) from error
        self._cache[coach] = now, learners
        self._cache.move_to_end(coach)
        if len(self._cache) > COACHES:
            self._cache.popitem(last=False)
        return learners

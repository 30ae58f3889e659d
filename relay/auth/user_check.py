"""Asks Supabase whether a token's user still exists (S3-6), also when many ask or it is down."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import aiohttp
import structlog

from relay.auth.jwks import FetchFailed, HttpAnswer, fetch_json
from relay.auth.lookups import CircuitBreaker, SingleFlight, TooManyCalls, UserRates
from relay.realtime.endings import AUTH_UNAVAILABLE, UNAUTHORIZED, SessionRefused

REFUSALS = frozenset({401, 403, 404})  # Supabase's statuses for a bad token or a deleted user

log = structlog.get_logger("relay.auth")


class UserRefused(Exception):  # noqa: N818 - an outcome, not a fault
    """The server does not confirm the user; the text says why and holds nothing of the token."""


class UserCheck(Protocol):
    """A second look at the user of a token whose signature and claims are good."""

    async def confirm(self, token: str, sub: str, until: float) -> None:
        """Return if the token is user `sub`'s, who exists; raises `SessionRefused`.

        It takes no longer than `until`, a time of the event loop.
        """


class AuthCheck:
    """Asks by `GET /auth/v1/user`: one request at a time for each token, few for one user at once.

    While the server does not answer, one request in five seconds finds out when it does again,
    and nobody else waits. `count` is given the outcome of each check. `aclose` it.
    """

    def __init__(
        self,
        supabase_url: str,
        api_key: str,
        http: aiohttp.ClientSession,
        count: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{supabase_url.rstrip('/')}/auth/v1/user"
        self._api_key = api_key
        self._http = http
        self._count = count
        self._clock = clock
        self._rates = UserRates()
        self._breaker = CircuitBreaker()
        self._flights = SingleFlight[HttpAnswer]()

    async def confirm(self, token: str, sub: str, until: float) -> None:
        """Return if the server confirms that the token is user `sub`'s.

        Raises `SessionRefused`: UNAUTHORIZED if it does not, AUTH_UNAVAILABLE if it cannot be
        asked, or has not answered at the loop's time `until`.
        """
        try:
            answer = await self._answer(token, sub, until)
        except (FetchFailed, TooManyCalls) as failure:
            self._count("unavailable")
            raise SessionRefused(AUTH_UNAVAILABLE) from failure
        refusal = _refusal(answer, sub)
        self._count("confirmed" if refusal is None else "refused")
        if refusal is not None:
            raise SessionRefused(UNAUTHORIZED) from refusal

    async def aclose(self) -> None:
        """Cancel the requests that are under way."""
        await self._flights.aclose()

    async def _answer(self, token: str, sub: str, until: float) -> HttpAnswer:
        try:
            async with asyncio.timeout_at(until):
                return await self._flights.run(token, partial(self._look_up, token, sub))
        except TimeoutError:  # the request goes on, and its outcome counts for the next
            raise FetchFailed("the authentication server did not answer in time") from None

    async def _look_up(self, token: str, sub: str) -> HttpAnswer:
        """The server's answer about a token; raises `FetchFailed` where it has none to give.

        Raises `TooManyCalls` where this user has been asked about too often.
        """
        if not self._breaker.admits(self._clock()):
            raise FetchFailed("the authentication server is down")
        if not self._rates.admits(sub, self._clock()):
            raise TooManyCalls("this user was asked about too often")
        try:
            answer = await self._ask(token)
        except FetchFailed as error:
            self._note_failure(str(error))
            raise
        if self._breaker.is_open:
            log.info("the authentication server answers again")
        self._breaker.answered()
        return answer

    async def _ask(self, token: str) -> HttpAnswer:
        headers = {"apikey": self._api_key, "Authorization": f"Bearer {token}"}
        answer = await fetch_json(self._http, self._url, headers)
        if not _is_verdict(answer):
            raise FetchFailed(f"the authentication server answered HTTP {answer.status}")
        return answer

    def _note_failure(self, why: str) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed(self._clock())
        if self._breaker.is_open and not was_open:
            log.warning("the authentication server is down", why=why)


class LocalFallback:
    """A `UserCheck` that lets callers in while the server does not answer: the claims suffice.

    Whom it was not asked about for their number is refused: nobody gets around the server by
    asking too much.
    """

    def __init__(self, check: UserCheck) -> None:
        self._check = check

    async def confirm(self, token: str, sub: str, until: float) -> None:
        """Return unless the server refuses the token, or was not asked; raises `SessionRefused`."""
        try:
            await self._check.confirm(token, sub, until)
        except SessionRefused as refused:
            if not isinstance(refused.__cause__, FetchFailed):
                raise


def _is_verdict(answer: HttpAnswer) -> bool:
    """Whether the server said something about the token."""
    document = answer.document if isinstance(answer.document, Mapping) else {}
    if answer.status in REFUSALS:
        # The gateway in front of the server answers 401 too when our own key is wrong.
        return "api key" not in str(document.get("message", "")).lower()
    return answer.status == 200 and "id" in document


def _refusal(answer: HttpAnswer, sub: str) -> UserRefused | None:
    """Why the server's verdict refuses the token, None where it confirms it for this user."""
    if answer.status in REFUSALS:
        return UserRefused("the authentication server refused it")
    document = answer.document
    if isinstance(document, Mapping) and document.get("id") == sub:
        return None
    return UserRefused("the token is another user's")

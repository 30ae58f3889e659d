"""The token issuer's public keys: fetched when needed, cached, refetched when they rotate."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
import jwt
import structlog

from relay.http_body import BodyTooLarge, read_body

REFRESH_SECONDS = 300.0  # Supabase's edge caches a set for 600 s and asks for no longer
RETRY_SECONDS = 30.0  # after a fetch that failed; the old set stays in force meanwhile
REFETCH_PAUSE = 5.0  # seconds between two fetches, so that invented key ids cause no storm
MAX_KEYS = 32  # a project has up to four; further ones are ignored
MIN_RSA_BITS = 2048  # RFC 7518 §3.3
MAX_SECONDS = 3.0  # for one request; a client is waiting to be admitted meanwhile
MAX_BODY = 256 * 1024  # bytes; a key set has 1 to 4 keys of under 1 KiB, a user some KiB

log = structlog.get_logger("relay.auth")

KeyName = tuple[str | None, str]
"""A key id and the one algorithm that this key may be used with."""


class KeySetUnavailable(Exception):  # noqa: N818 - an outcome, not a fault
    """The key of a token cannot be looked up now; the text says why and is safe to log.

    Later it can be: nothing is said of the token.
    """


class KeyUnknownYet(KeySetUnavailable):
    """The key set of a moment ago lacks the key: it is new, or invented."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP status, and the JSON document of the body, None if it was not JSON."""

    status: int
    document: object


class FetchFailed(Exception):  # noqa: N818 - an outcome, not a fault
    """No usable answer came; the text names the kind of failure, never the address or a header."""


Later = Callable[[float, Callable[[], object]], asyncio.TimerHandle]
"""Calls a function after so many seconds."""


class Jwks:
    """The key set at one address, which is fetched when it is first needed and then kept fresh.

    It owns the one fetch that may be under way. `clock` is in seconds; `later` is the event loop's
    `call_later` unless it is given.
    """

    def __init__(
        self,
        url: str,
        http: aiohttp.ClientSession,
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        self._later = later
        self._keys: dict[KeyName, jwt.PyJWK] | None = None
        self._tried_at = float("-inf")
        self._has_failed = False  # the last fetch
        self._fetching: asyncio.Task[None] | None = None
        self._next: asyncio.TimerHandle | None = None

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of this id for this algorithm, None if the issuer has no such key.

        Without an id the key is found only if it is the only one for its algorithm. Nobody whose
        key is known waits for a fetch. Raises `KeySetUnavailable` where the issuer cannot be asked,
        and `KeyUnknownYet` where it may not be asked again so soon.
        """
        if (known := self._pick(kid, algorithm)) is not None or self._is_of_another_kind(kid):
            return known
        fetching = self._refresh()
        if fetching is not None:
            await asyncio.wait({fetching})
        if self._keys is None or self._has_failed:
            raise KeySetUnavailable("the key set cannot be fetched")
        found = self._pick(kid, algorithm)
        if found is None and fetching is None and kid is not None:
            raise KeyUnknownYet("the key is not in the key set of a moment ago")
        return found

    async def aclose(self) -> None:
        """Cancel a fetch that is under way, and fetch no more."""
        if self._next is not None:
            self._next.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _pick(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        keys = self._keys or {}
        if kid is not None:
            return keys.get((kid, algorithm))
        matching = [key for (_, name), key in keys.items() if name == algorithm]
        return matching[0] if len(matching) == 1 else None

    def _is_of_another_kind(self, kid: str | None) -> bool:
        """Whether this id is that of a key for another algorithm."""
        return kid is not None and any(name == kid for name, _ in self._keys or ())

    def _refresh(self) -> "asyncio.Task[None] | None":
        """The fetch under way, or a new one; None if the last is not long enough ago.

        The fetch is a task of its own: a caller that is cancelled must not cancel it for the others
        that wait, nor let one more fetch start.
        """
        if self._fetching is None:
            if self._clock() - self._tried_at < REFETCH_PAUSE:
                return None
            self._fetching = asyncio.create_task(  # noqa: TID251 - owned and awaited here
                self._fetch(), name="jwks fetch"
            )
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._keys = read_keys(await fetch_json(self._http, self._url))
            self._has_failed = False
        except FetchFailed as error:
            self._has_failed = True
            log.warning("could not fetch the key set", why=str(error), kept=len(self._keys or ()))
        finally:
            self._tried_at = self._clock()
            self._fetching = None
        self._fetch_later(RETRY_SECONDS if self._has_failed else REFRESH_SECONDS)

    def _fetch_later(self, seconds: float) -> None:
        """Renew the set in time, whoever comes: a key that was revoked must not outlive it."""
        if self._next is not None:
            self._next.cancel()
        later = self._later or asyncio.get_running_loop().call_later
        self._next = later(seconds, self._refresh)


def read_keys(answer: HttpAnswer) -> dict[KeyName, jwt.PyJWK]:
    """Return the usable keys of a JWKS answer: public P-256 and RSA keys for signatures.

    Each is bound to the algorithm of its own type, whatever a token claims. All others are skipped,
    symmetric ones above all. Raises `FetchFailed` if the answer is not a key set.
    """
    document = answer.document if answer.status == 200 else None
    rows = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(rows, list):
        raise FetchFailed(f"not a key set (HTTP {answer.status})")
    keys: dict[KeyName, jwt.PyJWK] = {}
    for row in rows[:MAX_KEYS]:
        key = _read_key(row)
        if key is not None:
            keys[key.key_id, key.algorithm_name] = key
    return keys


def _read_key(row: object) -> jwt.PyJWK | None:
    if not isinstance(row, dict) or not isinstance(row.get("kid"), str | None):
        return None
    algorithm = _algorithm_of(row)
    usable = row.get("use", "sig") == "sig" and row.get("alg", algorithm) == algorithm
    if algorithm is None or not usable or "d" in row:
        return None
    try:
        key = jwt.PyJWK(row, algorithm)
        weak = algorithm == "RS256" and key.key.key_size < MIN_RSA_BITS
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None  # not a valid key
    return None if weak else key


def _algorithm_of(row: Mapping[str, object]) -> str | None:
    match row.get("kty"), row.get("crv"):
        case "EC", "P-256":
            return "ES256"
        case "RSA", _:
            return "RS256"
        case _:
            return None


async def fetch_json(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """GET `url` without following redirects, which would carry the headers along.

    Raises `FetchFailed` after `MAX_SECONDS`, above `MAX_BODY` bytes, or when the server cannot be
    reached.
    """
    limit = aiohttp.ClientTimeout(total=MAX_SECONDS)
    try:
        async with http.get(url, headers=headers, timeout=limit, allow_redirects=False) as response:
            return HttpAnswer(response.status, _parse(await read_body(response, MAX_BODY)))
    except BodyTooLarge as error:
        raise FetchFailed(str(error)) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # The type only: aiohttp's texts hold the address.
        raise FetchFailed(type(error).__name__) from None


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested too deeply
        return None

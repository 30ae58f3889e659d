"""The public keys of the token issuer, fetched when needed and kept for a while."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
import jwt
import structlog

# ---- One bounded GET of a JSON document from the authentication server.

MAX_SECONDS = 3.0  # for the whole request; somebody is waiting at the door meanwhile
MAX_BODY = 256 * 1024  # bytes; a key set has 1 to 4 keys of under 1 KiB, a user some KiB
READ_AT_ONCE = 16 * 1024  # bytes


class FetchFailed(Exception):  # noqa: N818 - it is an outcome, not a fault
    """No usable answer came; the text names the kind of failure, never the address or a header."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: the HTTP status, and the JSON document (None where it was not JSON)."""

    status: int
    document: object


async def fetch_json(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """GET `url` without following redirects (they would carry the headers along).

    Raises `FetchFailed` when nothing came in `MAX_SECONDS` or more than `MAX_BODY` bytes did.
    """
    limit = aiohttp.ClientTimeout(total=MAX_SECONDS)
    try:
        async with http.get(url, headers=headers, timeout=limit, allow_redirects=False) as response:
            body = await _read(response)
            return HttpAnswer(response.status, _parse(body))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # The kind alone: aiohttp's texts hold the address.
        raise FetchFailed(type(error).__name__) from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(READ_AT_ONCE):
        body += chunk
        if len(body) > MAX_BODY:
            raise FetchFailed(f"more than {MAX_BODY} bytes")
    return bytes(body)


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested without end
        return None


MAX_AGE = 600.0  # seconds; Supabase's edge keeps a set as long and asks for no longer
REFETCH_PAUSE = 5.0  # seconds between two fetches, so that invented key ids ask for nothing
MAX_KEYS = 32  # a project has up to four; what comes after these is not read
MIN_RSA_BITS = 2048  # RFC 7518 §3.3

log = structlog.get_logger("relay.access")

KeyName = tuple[str | None, str]
"""A key id and the one algorithm that this key may be used with."""


class KeySetUnavailable(Exception):  # noqa: N818 - it is an outcome, not a fault
    """Not one set of keys was ever fetched, so nothing can be said about a token."""


class Jwks:
    """The key set behind one address. It owns the one fetch that may be under way."""

    def __init__(
        self,
        url: str,
        http: aiohttp.ClientSession,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        self._keys: dict[KeyName, jwt.PyJWK] | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Find the key of this id for this algorithm, None when the issuer has no such key.

        A token without an id finds the key only where there is exactly one for its algorithm.
        Raises `KeySetUnavailable`.
        """
        if self._clock() - self._fetched_at >= MAX_AGE or self._pick(kid, algorithm) is None:
            await self._refresh()
        if self._keys is None:
            raise KeySetUnavailable
        return self._pick(kid, algorithm)

    async def aclose(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _pick(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        keys = self._keys or {}
        if kid is not None:
            return keys.get((kid, algorithm))
        fitting = [key for (_, its), key in keys.items() if its == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        """Wait for the fetch under way, or begin one if the last is long enough ago.

        The fetch is a task of its own, since a caller who hangs up must not end it for the others
        who wait, nor make room for one more fetch.
        """
        if self._fetching is None:
            if self._clock() - self._tried_at < REFETCH_PAUSE:
                return
            self._fetching = asyncio.create_task(  # noqa: TID251 - owned and awaited here
                self._fetch(), name="jwks fetch"
            )
        await asyncio.wait({self._fetching})

    async def _fetch(self) -> None:
        try:
            self._keys = read_keys(await fetch_json(self._http, self._url))
            self._fetched_at = self._clock()
        except FetchFailed as error:
            log.warning("key set not fetched", why=str(error), kept=len(self._keys or ()))
        finally:
            self._tried_at = self._clock()
            self._fetching = None


def read_keys(answer: HttpAnswer) -> dict[KeyName, jwt.PyJWK]:
    """Read the usable keys of a JWKS answer: public P-256 and RSA keys for signatures.

    Each is bound to the algorithm of its own type, whatever a token claims. Others are passed over,
    symmetric ones above all. Raises `FetchFailed` when the answer is not a key set.
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
        return None  # a row that only looks like a key
    return None if weak else key


def _algorithm_of(row: Mapping[str, object]) -> str | None:
    match row.get("kty"), row.get("crv"):
        case "EC", "P-256":
            return "ES256"
        case "RSA", _:
            return "RS256"
        case _:
            return None

"""One bounded GET of a JSON document from the authentication server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

MAX_SECONDS = 3.0  # for the whole request; somebody is waiting at the door meanwhile
MAX_BODY = 256 * 1024  # bytes; a key set has 1 to 4 keys of under 1 KiB, a user some KiB
READ_AT_ONCE = 16 * 1024  # bytes


class Unreachable(Exception):  # noqa: N818 - it is an outcome, not a fault
    """No usable answer came; the text names the kind of failure, never the address or a header."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status, and the JSON document (None where it was not JSON)."""

    status: int
    document: object


async def fetch_json(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """GET `url` without following redirects (they would carry the headers along).

    Raises `Unreachable` when nothing came in `MAX_SECONDS` or more than `MAX_BODY` bytes did.
    """
    limit = aiohttp.ClientTimeout(total=MAX_SECONDS)
    try:
        async with http.get(url, headers=headers, timeout=limit, allow_redirects=False) as response:
            body = await _read(response)
            return Answer(response.status, _parse(body))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # The kind alone: aiohttp's texts hold the address.
        raise Unreachable(type(error).__name__) from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(READ_AT_ONCE):
        body += chunk
        if len(body) > MAX_BODY:
            raise Unreachable(f"more than {MAX_BODY} bytes")
    return bytes(body)


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested without end
        return None

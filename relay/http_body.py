"""Reads the body of an HTTP response, up to a limit."""

from typing import Final

import aiohttp

_CHUNK_BYTES: Final = 16 * 1024


class BodyTooLarge(Exception):  # noqa: N818 - an outcome, not a fault
    """The body has more bytes than the caller accepts."""


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return the whole body; raises `BodyTooLarge` as soon as it exceeds `max_bytes`, unpacked."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(f"more than {max_bytes} bytes")
    return bytes(body)

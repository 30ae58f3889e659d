"""Reads the body of an HTTP request or response, up to a limit."""

from typing import Final, Protocol

import aiohttp

_CHUNK_BYTES: Final = 16 * 1024


class HttpMessage(Protocol):
    """A request or a response whose body was not read yet."""

    @property
    def content(self) -> aiohttp.StreamReader:
        """The body as it arrives. Its `read(n)` gives what is there: one segment, as a rule."""


class BodyTooLarge(Exception):  # noqa: N818 - an outcome, not a fault
    """The body has more bytes than the caller accepts."""


async def read_body(message: HttpMessage, max_bytes: int) -> bytes:
    """Return the whole body; raises `BodyTooLarge` as soon as it exceeds `max_bytes`, unpacked.

    The caller bounds the time.
    """
    body = bytearray()
    async for chunk in message.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(f"more than {max_bytes} bytes")
    return bytes(body)


async def read_beginning(message: HttpMessage, max_bytes: int) -> bytes:
    """Return the first `max_bytes` of a body, or all of a shorter one; the caller bounds the time.

    Of a body that breaks off, what came before.
    """
    body = bytearray()
    try:
        async for chunk in message.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) >= max_bytes:
                break
    except aiohttp.ClientPayloadError:
        pass
    return bytes(body[:max_bytes])

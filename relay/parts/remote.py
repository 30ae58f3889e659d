"""Keeps the requests of remote parts within bounds: time, number, size and a second attempt."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from relay.parts.interfaces import FailureCode, PartFailed, PartKind

CONNECT_SECONDS: Final = 5.0
"""For name, connection and TLS."""
FIRST_BYTE_SECONDS: Final = 10.0
"""From the request to the first piece of its answer: a turn that waits longer is lost anyway."""
BETWEEN_SECONDS: Final = 5.0
"""Between two pieces of an answer; the speaker has long run out of sound by then."""
WHOLE_SECONDS: Final = 60.0
"""Of waiting for one answer in all; the time for which its reader pauses does not count."""
RETRY_SECONDS: Final = 0.1
"""Before the second attempt, the last one."""
MAX_ERROR_BYTES: Final = 64 * 1024
"""Of the body of an error; what comes after it is not read."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a remote answer may take, in seconds; the constants say what for."""

    connect: float = CONNECT_SECONDS
    first_byte: float = FIRST_BYTE_SECONDS
    between: float = BETWEEN_SECONDS
    whole: float = WHOLE_SECONDS


def within(seconds: float) -> Timeouts:
    """Return the timeouts of an answer that may take `seconds` in all."""
    return Timeouts(
        min(CONNECT_SECONDS, seconds),
        min(FIRST_BYTE_SECONDS, seconds),
        min(BETWEEN_SECONDS, seconds),
        seconds,
    )


async def timed(part: PartKind, timeouts: Timeouts, pieces: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield the pieces of an answer, sending of the request included; raise `timeout` if late."""
    loop = asyncio.get_running_loop()
    left = timeouts.whole
    limit, which = timeouts.first_byte, "first byte"
    async with aclosing(pieces):
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(min(limit, left)):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                late = which if limit <= left else "whole answer"
                raise PartFailed(part, "timeout", late) from None
            left -= loop.time() - began
            limit, which = timeouts.between, "between bytes"
            yield piece


async def attempted(attempt: Callable[[], AsyncGenerator[T]]) -> AsyncGenerator[T]:
    """Yield what an attempt yields; make a second one if the first found nobody at home.

    That is a refused or lost connection, or a 502 or 503 (`unavailable`), before anything was
    yielded. A connection lost later is `failed`: nothing is said twice.
    """
    for last in (False, True):
        yielded = False
        try:
            async with aclosing(attempt()) as pieces:
                async for piece in pieces:
                    yielded = True
                    yield piece
        except PartFailed as failure:
            if failure.code != "unavailable":
                raise
            if yielded:
                raise PartFailed(failure.part, "failed", f"cut: {failure.detail}") from None
            if last:
                raise
        else:
            return
        await asyncio.sleep(RETRY_SECONDS)


class RequestSlots:
    """Lets `at_once` requests of a part through; others wait, unless that would take too long."""

    MEAN_WEIGHT: Final = 0.2
    FIRST_MEAN: Final = 1.0
    LEAST_MEAN: Final = 0.1
    """Seconds; with it at most `100 * at_once` requests wait for 10 s."""

    def __init__(self, part: PartKind, at_once: int) -> None:
        self._part = part
        self._at_once = at_once
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._mean = self.FIRST_MEAN

    @property
    def predicted_wait(self) -> float:
        """Seconds until a request that came now could start, as far as the last ones tell."""
        if not self._slots.locked():
            return 0.0
        return (self._waiting + 1) * self._mean / self._at_once

    @asynccontextmanager
    async def slot(self, max_wait: float) -> AsyncIterator[None]:
        """Hold a place; raises `PartFailed` (busy) after, or rather than, `max_wait` seconds."""
        await self._enter(max_wait)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            took = max(loop.time() - began, self.LEAST_MEAN)
            self._mean += self.MEAN_WEIGHT * (took - self._mean)
            self._slots.release()

    async def _enter(self, max_wait: float) -> None:
        predicted = self.predicted_wait
        if predicted > max_wait:
            raise PartFailed(self._part, "busy", f"predicted wait {predicted:.1f} s")
        self._waiting += 1
        try:
            async with asyncio.timeout(max_wait):
                await self._slots.acquire()
        except TimeoutError:
            raise PartFailed(self._part, "busy", f"waited {max_wait:.1f} s") from None
        finally:
            self._waiting -= 1


# ------------------------------------------------------------------------------ errors

_CODES: Final[dict[int, FailureCode]] = {
    401: "unauthorized",
    403: "unauthorized",
    408: "timeout",
    429: "rate_limited",
    502: "unavailable",
    503: "unavailable",
    504: "timeout",
}
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def refused(part: PartKind, status: int, body: bytes) -> PartFailed:
    """Return what an answer that is none means; of its body only the provider's code is told.

    A redirect is refused, too: a key goes to the address it belongs to and no further.
    """
    code = _CODES.get(status, "rejected" if status < 500 else "failed")
    return PartFailed(part, code, f"{status} {provider_code(body)}".rstrip())


def provider_code(body: bytes) -> str:
    """Return the error code in the body of an error, "" where there is none that is a word.

    Known are OpenAI's `error` with `code` or `type` (Azure's is alike), and ElevenLabs' `detail`
    with `code` or `status`, or a list of what is wrong with the request.
    """
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    found = document
    for name in ("error", "detail"):
        if isinstance(document, dict) and name in document:
            found = document[name]
    if isinstance(found, list):
        found = next(iter(found), None)
    return word_of(found)


def word_of(error: Any) -> str:
    """Return the code of a provider's error object if it is one word, else ""."""
    if not isinstance(error, dict):
        return ""
    for name in ("code", "status", "type"):
        word = str(error.get(name) or "")
        if _NAME.fullmatch(word):
            return word
    return ""


async def bounded(
    part: PartKind, chunks: AsyncGenerator[bytes], max_bytes: int
) -> AsyncGenerator[bytes]:
    """Yield the chunks of a body; raises `PartFailed` when they are more than `max_bytes`."""
    size = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise PartFailed(part, "failed", "answer too large")
            yield chunk

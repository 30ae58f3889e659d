"""Limits how often a caller asks for the same again who got nothing before."""

from dataclasses import replace
from hashlib import blake2b
from math import ceil
from typing import Final

from relay.admission.buckets import TokenBuckets
from relay.realtime import endings
from relay.realtime.endings import TOO_MANY_RECONNECTS, Ending, SessionRefused

FAILURES: Final = 8
"""Attempts that may come to nothing at once: three devices that each try again twice."""
FAILURES_PER_SECOND: Final = 0.25
"""Further ones: a client that never stops calls the provider fifteen times a minute."""
CALLERS: Final = 10_000
"""Callers remembered, some 2 MiB; beyond, the one seen longest ago goes."""
SHORT_SECONDS: Final = 30.0
"""A session that was shorter and ended by a failure has come to nothing."""

_FAILED: Final = frozenset(
    ending.name
    for ending in (
        *(endings.FORBIDDEN, endings.BUDGET_EXHAUSTED, endings.NO_PROVIDER_KEY),
        *(endings.ENGINE_CLOSED, endings.ENGINE_TIMED_OUT, endings.INTERNAL_ERROR),
    )
)
"""Endings after which the next attempt is likely to end alike. A place that is taken may be free a
moment later: those who wait for one are limited elsewhere."""


class ReconnectLimits:
    """A bucket of failures for each caller; `now` is in seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._failures = TokenBuckets(FAILURES, FAILURES_PER_SECOND, CALLERS)

    def __len__(self) -> int:
        return len(self._failures)

    def check(self, caller: str, now: float) -> None:
        """Raise `SessionRefused`, with the time to wait, for a caller who has failed too often."""
        wait = self._failures.wait(caller, now)
        if wait > 0.0:
            text = f"Too many attempts in a row came to nothing. Wait {_in_words(wait)}."
            ms = ceil(wait * 1000)
            raise SessionRefused(replace(TOO_MANY_RECONNECTS, advice=text, retry_after_ms=ms))

    def ended(
        self, caller: str, ending: Ending, seconds: float, now: float, *, was_used: bool = False
    ) -> None:
        """Count an attempt that ended after so many seconds, if it came to nothing.

        After one that did not, and that `was_used` (the model has answered in it), what the caller
        failed at before is forgotten: it says nothing any more about the next attempt.
        """
        if ending.name in _FAILED and seconds < SHORT_SECONDS:
            self._failures.take(caller, now)
        elif was_used:
            self._failures.forget(caller)


def _in_words(seconds: float) -> str:
    """For clients to whom an error is a text: whole seconds, never too few."""
    whole = ceil(seconds)
    return "a second" if whole == 1 else f"{whole} seconds"


def caller_name(sub: str, *asked: str | None) -> str:
    """Who asks for what, in a few bytes: another agent or conversation is another matter."""
    digest = blake2b(digest_size=16)
    for part in (sub, *asked):
        digest.update(f"{len(part or '')}:{part or ''}".encode())
    return digest.hexdigest()

"""What a turn costs, by the provider's price list of one day."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PRICES_OF: Final = "2026-08"
"""The month of the price list below; a price that changed since is not known here."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens of one kind: taken in, taken in from the cache, put out."""

    taken: float
    cached: float
    given: float = 0.0


_FULL = {"text": Price(4, 0.4, 24), "audio": Price(32, 0.4, 64), "image": Price(5, 0.5)}
_OLDER = {"text": Price(4, 0.4, 16), "audio": Price(32, 0.4, 64), "image": Price(5, 0.5)}
_MINI = {"text": Price(0.6, 0.06, 2.4), "audio": Price(10, 0.3, 20), "image": Price(0.8, 0.08)}

MODELS: Final = {
    "gpt-realtime-2.1": _FULL,
    "gpt-realtime-2": _FULL,
    "gpt-realtime-1.5": _OLDER,
    "gpt-realtime-2.1-mini": _MINI,
}
"""By model and kind of token, PROTOCOL §8; a model whose price nobody has seen is not here."""

PER_MINUTE: Final = {"gpt-realtime-whisper": 0.017, "gpt-live-transcribe": 0.017}
"""USD for a minute of audio written down."""

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def price_of_response(model: str, usage: Mapping[str, Any] | None) -> float | None:
    """USD for the `usage` of a `response.done`; None where the price is not known.

    Cached tokens are among those taken in, kind by kind.
    """
    prices = MODELS.get(_SNAPSHOT.sub("", model))
    if prices is None or usage is None:
        return None
    taken, given = _counts(usage, "input_token_details"), _counts(usage, "output_token_details")
    cached = _counts(usage.get("input_token_details") or {}, "cached_tokens_details")
    total = 0.0
    for kind, price in prices.items():
        fresh = taken.get(kind, 0) - cached.get(kind, 0)
        total += fresh * price.taken + cached.get(kind, 0) * price.cached
        total += given.get(kind, 0) * price.given
    return total / 1_000_000


def price_of_transcript(model: str, usage: Mapping[str, Any] | None) -> float | None:
    """USD for the `usage` of a completed input transcription; None where it is not known."""
    per_minute = PER_MINUTE.get(_SNAPSHOT.sub("", model))
    if per_minute is None or usage is None or usage.get("type") != "duration":
        return None
    return float(usage.get("seconds", 0)) / 60 * per_minute


def _counts(usage: Mapping[str, Any], details: str) -> dict[str, int]:
    """Tokens by kind: `{"text_tokens": 3}` as `{"text": 3}`."""
    found = usage.get(details) or {}
    return {
        name.removesuffix("_tokens"): count
        for name, count in found.items()
        if isinstance(count, int)
    }

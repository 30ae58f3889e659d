"""What an answer or a transcription used, as engines say it, and what it costs (PROTOCOL §8)."""

import math
from typing import Any, Final

import msgspec

from relay.realtime.prices import PICO_PER_MICRO, Price

_MS_PER_MINUTE: Final = 60_000
_MOST: Final = 10**9  # an answer holds 160 thousand tokens at most; more than this is no count


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by direction and modality, and milliseconds of what is billed by the minute.

    `*_cached` is the part of `*_in` that the provider remembered, `reasoning` the part of
    `text_out` that nobody sees. A difference of two may be negative.
    """

    text_in: int = 0
    text_cached: int = 0
    text_out: int = 0
    audio_in: int = 0
    audio_cached: int = 0
    audio_out: int = 0
    image_in: int = 0
    image_cached: int = 0
    reasoning: int = 0
    milliseconds: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in _FIELDS})

    @property
    def input_tokens(self) -> int:
        """All that was taken in, cached or not."""
        return self.text_in + self.audio_in + self.image_in

    @property
    def cached_tokens(self) -> int:
        """The part of the input that was remembered."""
        return self.text_cached + self.audio_cached + self.image_cached

    @property
    def output_tokens(self) -> int:
        """All that was put out."""
        return self.text_out + self.audio_out


_FIELDS: Final = Usage.__struct_fields__


def of_response(given: Any) -> Usage | None:
    """Read `response.usage` of a `response.done`; None where there is none (PROTOCOL §8).

    Tokens that no detail names count as audio, the dearer kind, and cached ones as text, the kind
    on which caching saves less: what is missing must never make a session look cheap.
    """
    if not isinstance(given, dict):
        return None
    came, went = _object(given, "input_token_details"), _object(given, "output_token_details")
    text, audio, image = (_count(came, f"{kind}_tokens") for kind in ("text", "audio", "image"))
    audio += max(0, _count(given, "input_tokens") - text - audio - image)
    cached = _cached(came, (text, audio, image))
    text_out, audio_out = _count(went, "text_tokens"), _count(went, "audio_tokens")
    audio_out += max(0, _count(given, "output_tokens") - text_out - audio_out)
    return Usage(
        text_in=text,
        text_cached=cached[0],
        text_out=text_out,
        audio_in=audio,
        audio_cached=cached[1],
        audio_out=audio_out,
        image_in=image,
        image_cached=cached[2],
        reasoning=min(_count(went, "reasoning_tokens"), text_out),
    )


def of_transcription(given: Any) -> Usage | None:
    """Read `usage` of a completed input transcription, by tokens or by duration; else None."""
    if not isinstance(given, dict):
        return None
    if given.get("type") == "duration" or "seconds" in given:
        return Usage(milliseconds=_milliseconds(given.get("seconds")))
    text = _count(_object(given, "input_token_details"), "text_tokens")
    named = text + _count(_object(given, "input_token_details"), "audio_tokens")
    audio = max(named, _count(given, "input_tokens")) - text
    return Usage(text_in=text, audio_in=audio, text_out=_count(given, "output_tokens"))


def cost(usage: Usage, price: Price | None) -> int | None:
    """Micro-dollars, rounded up once; None where something that was used has no known price."""
    if price is None:
        return None
    amounts = (
        *_input(usage.text_in, usage.text_cached, price.text_in, price.text_cached),
        *_input(usage.audio_in, usage.audio_cached, price.audio_in, price.audio_cached),
        *_input(usage.image_in, usage.image_cached, price.image_in, price.image_cached),
        (usage.text_out, price.text_out),
        (usage.audio_out, price.audio_out),
    )
    if usage.milliseconds and price.minute is None:
        return None
    sixty_thousandths = usage.milliseconds * (price.minute or 0)  # of a pico-dollar
    for count, each in amounts:
        if count and each is None:
            return None
        sixty_thousandths += count * (each or 0) * _MS_PER_MINUTE
    return -(-sixty_thousandths // (_MS_PER_MINUTE * PICO_PER_MICRO))


def _input(
    all_of_it: int, cached: int, each: int | None, each_cached: int | None
) -> tuple[tuple[int, int | None], tuple[int, int | None]]:
    return (all_of_it - cached, each), (cached, each if each_cached is None else each_cached)


def _cached(came: dict[str, Any], room: tuple[int, int, int]) -> list[int]:
    """Cached text, audio and image tokens; never more than came in, kind by kind."""
    details = _object(came, "cached_tokens_details")
    named = [_count(details, f"{kind}_tokens") for kind in ("text", "audio", "image")]
    cached = [min(count, most) for count, most in zip(named, room, strict=True)]
    unnamed = max(0, _count(came, "cached_tokens") - sum(named))
    for index, most in enumerate(room):
        more = min(unnamed, most - cached[index])
        cached[index] += more
        unnamed -= more
    return cached


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}


def _count(given: dict[str, Any], name: str) -> int:
    """A number of tokens; 0 for what cannot be one."""
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value <= _MOST else 0


def _milliseconds(seconds: Any) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return 0
    return math.ceil(seconds * 1000) if 0 <= seconds <= _MOST else 0

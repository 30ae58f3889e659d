"""What an answer or a transcription used, as engines say it, and what it costs (PROTOCOL §8)."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from relay.realtime.billing.pricing import PICO_PER_MICRO, Price, Prices
from relay.realtime.events import Event

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


# ---- One session's meter: what each model used on each day, counted once (PROTOCOL §5.12, §8).

_ANSWERED: Final = "response.done"
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
_CONFIGURED: Final = ("session.created", "session.updated")
_DAY_SECONDS: Final = 86_400
_MAX_REMEMBERED: Final = 1024  # bills that a double or a correction may still name
_MAX_LINES: Final = 64  # a client may name a new transcriber at any time; a call knows a few
_MAX_NAME: Final = 128  # characters of a model's name, as at the doors
OTHER: Final = "other"
"""Stands for the models beyond the bound. It has no price, so that it is noticed."""


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """All that one model used in this session on one day, so far.

    `day` counts UTC days since 1970. `seq` grows with every change of any line of the session: of
    two versions of one line the higher is the newer.
    """

    model: str
    day: int
    usage: Usage
    seq: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What was used costs `known` micro-dollars; `unpriced` names the models without a price."""

    known: int
    unpriced: tuple[str, ...] = ()

    @property
    def micro(self) -> int | None:
        """Micro-dollars; None where a price is missing."""
        return None if self.unpriced else self.known


@dataclass(frozen=True, slots=True)
class _Bill:
    line: tuple[str, int]
    usage: Usage
    final: bool


def day_of(now: float) -> int:
    """The UTC day of a Unix time, in days since 1970."""
    return int(now // _DAY_SECONDS)


class UsageMeter:
    """Observes every event that it `reads`, out-of-band responses too: they are billed like others.

    Each response and each transcribed part is counted once, whatever is doubled; a later bill for
    the same one replaces it, an interim transcription never a final one.
    """

    reads: Final = frozenset({_ANSWERED, _TRANSCRIBED, *_CONFIGURED})

    def __init__(self, model: str, transcription_model: str) -> None:
        self._model = model[:_MAX_NAME]
        self._heard_by = transcription_model[:_MAX_NAME]
        self._bills: dict[tuple[str, str, int], _Bill] = {}
        self._lines: dict[tuple[str, int], UsageLine] = {}
        self._seq = 0

    def observe(self, event: Event, now: float) -> UsageLine | None:
        """Take one server event at `now` (Unix seconds); returns the line that it changed."""
        kind = event.get("type")
        if kind == _ANSWERED:
            return self._answered(event, now)
        if kind == _TRANSCRIBED:
            return self._transcribed(event, now)
        if kind in _CONFIGURED:
            self._configured(event)
        return None

    def lines(self) -> list[UsageLine]:
        """Every line as it stands, in the order in which they began."""
        return list(self._lines.values())

    def totals(self) -> dict[str, Usage]:
        """What each model used, all days together."""
        totals: dict[str, Usage] = {}
        for line in self._lines.values():
            totals[line.model] = totals.get(line.model, Usage()) + line.usage
        return totals

    def cost(self, prices: Prices) -> Cost:
        """What the session cost so far: the sum of its lines, each rounded up once."""
        known, unpriced = 0, dict[str, None]()
        for line in self._lines.values():
            amount = cost(line.usage, prices.find(line.model))
            if amount is None:
                unpriced[line.model] = None
            known += amount or 0
        return Cost(known, tuple(unpriced))

    def _configured(self, event: Event) -> None:
        """The engine says which models it uses; its own answer counts, not what was asked for."""
        session = event.get("session")
        self._model = _name(session) or self._model
        heard = _part(_part(_part(session, "audio"), "input"), "transcription")
        self._heard_by = _name(heard) or self._heard_by

    def _answered(self, event: Event, now: float) -> UsageLine | None:
        response = event.get("response")
        usage, line = of_response(_part(response, "usage")), self._line(self._model, now)
        key = _ANSWERED, _part(response, "id"), 0
        return self._count(key, _Bill(line, usage, final=True)) if usage else None

    def _transcribed(self, event: Event, now: float) -> UsageLine | None:
        usage, line = of_transcription(event.get("usage")), self._line(self._heard_by, now)
        index, final = event.get("content_index"), event.get("status", "completed") == "completed"
        key = _TRANSCRIBED, event.get("item_id"), index if isinstance(index, int) else 0
        return self._count(key, _Bill(line, usage, final)) if usage else None

    def _line(self, model: str, now: float) -> tuple[str, int]:
        key = model, day_of(now)
        return key if key in self._lines or len(self._lines) < _MAX_LINES else (OTHER, key[1])

    def _count(self, key: tuple[str, Any, int], bill: _Bill) -> UsageLine | None:
        kind, name, index = key
        if not isinstance(name, str):  # nothing to know it by; better billed twice than never
            return self._add(bill.line, bill.usage)
        before = self._bills.pop((kind, name, index), None)
        if before is not None:
            bill = before if before.final and not bill.final else replace(bill, line=before.line)
        self._bills[kind, name, index] = bill
        if len(self._bills) > _MAX_REMEMBERED:
            del self._bills[next(iter(self._bills))]
        return self._add(bill.line, bill.usage - before.usage if before else bill.usage)

    def _add(self, key: tuple[str, int], more: Usage) -> UsageLine | None:
        if more == Usage():
            return None
        self._seq += 1
        usage = self._lines[key].usage + more if key in self._lines else more
        self._lines[key] = UsageLine(model=key[0], day=key[1], usage=usage, seq=self._seq)
        return self._lines[key]


def _part(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None


def _name(given: Any) -> str:
    value = _part(given, "model")
    return value[:_MAX_NAME] if isinstance(value, str) else ""

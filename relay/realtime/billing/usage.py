"""Meters what a session uses, from the usage that engines report, and prices it (PROTOCOL §8)."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec

from relay.realtime.billing.pricing import PICO_PER_MICRO, Price, Prices
from relay.realtime.events import Event

OTHER: Final = "other"
"""Stands for all models beyond the bound. It has no price, so that it is noticed."""

_RESPONSE_DONE: Final = "response.done"
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
_CONFIGURED: Final = ("session.created", "session.updated")
_MODALITIES: Final = ("text", "audio", "image")

_MAX_REPORTS: Final = 1024  # reports that a repeat or a correction may still name
_MAX_LINES: Final = 64  # a client may name a new transcriber at any time; a session has a few
_MAX_PARTS: Final = 16  # of one report; an engine has three, and as many that take over
_MAX_NAME: Final = 128  # characters of a model's name, as at the doors
_MAX_COUNT: Final = 10**9  # an answer has 160 thousand tokens at most; more is not a count
_DAY_SECONDS: Final = 86_400
_MS_PER_MINUTE: Final = 60_000


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by direction and modality, and the speech of what is not billed by tokens.

    `*_cached` is the part of `*_in` that the provider had cached, `reasoning` the part of
    `text_out` that is not shown. `milliseconds` are of speech that was heard or made, `characters`
    of text that was spoken. A difference of two may be negative.
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
    characters: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in _FIELDS})

    @property
    def input_tokens(self) -> int:
        """All input, cached or not."""
        return self.text_in + self.audio_in + self.image_in

    @property
    def cached_tokens(self) -> int:
        """The cached part of the input."""
        return self.text_cached + self.audio_cached + self.image_cached

    @property
    def output_tokens(self) -> int:
        """All output."""
        return self.text_out + self.audio_out


_FIELDS: Final = Usage.__struct_fields__


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """All that one model used in this session on one day, so far.

    `day` counts UTC days since 1970. `seq` grows with every change of any line of the session: of
    two versions of one line the higher one is newer.
    """

    model: str
    day: int
    usage: Usage
    seq: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of usage: `known` micro-dollars, and the names of the models without a price."""

    known: int
    unpriced: tuple[str, ...] = ()

    @property
    def micro(self) -> int | None:
        """Micro-dollars; None if a price is missing."""
        return None if self.unpriced else self.known


_Key = tuple[str, Any, int]  # the kind of a report, the id of what it is about, its index there
_Line = tuple[str, int]  # a model and a day


@dataclass(frozen=True, slots=True)
class _Report:
    """Usage reported for one response or transcription, by the lines that count it."""

    day: int
    used: Mapping[_Line, Usage]
    final: bool


def day_of(now: float) -> int:
    """The UTC day of a Unix time, in days since 1970."""
    return int(now // _DAY_SECONDS)


class UsageMeter:
    """Counts the usage in events of the types in `reads`, out-of-band responses included.

    It is the session's model that used it, or the models that its `parts` name. Each response and
    each transcribed part is counted once. A later report for the same one replaces it, but an
    interim transcription never replaces a final one.
    """

    reads: Final = frozenset({_RESPONSE_DONE, _TRANSCRIBED, *_CONFIGURED})

    def __init__(self, model: str, transcription_model: str) -> None:
        self._model = model[:_MAX_NAME]
        self._transcriber = transcription_model[:_MAX_NAME]
        self._reports: dict[_Key, _Report] = {}
        self._lines: dict[_Line, UsageLine] = {}
        self._seq = 0

    def observe(self, event: Event, now: float) -> list[UsageLine]:
        """Take one server event at `now` (Unix seconds); returns the lines that it changed."""
        kind = event.get("type")
        if kind == _RESPONSE_DONE:
            return self._answered(event, now)
        if kind == _TRANSCRIBED:
            return self._transcribed(event, now)
        if kind in _CONFIGURED:
            self._configured(event)
        return []

    def lines(self) -> list[UsageLine]:
        """All lines as they are now, the oldest first."""
        return list(self._lines.values())

    def totals(self) -> dict[str, Usage]:
        """What each model used on all days together."""
        totals: dict[str, Usage] = {}
        for line in self._lines.values():
            totals[line.model] = totals.get(line.model, Usage()) + line.usage
        return totals

    def cost(self, prices: Prices) -> Cost:
        """What the session has cost so far: the sum of its lines, each rounded up once."""
        known, unpriced = 0, dict[str, None]()
        for line in self._lines.values():
            amount = cost(line.usage, prices.find(line.model))
            if amount is None:
                unpriced[line.model] = None
            known += amount or 0
        return Cost(known, tuple(unpriced))

    def _configured(self, event: Event) -> None:
        """Take the models that the engine says it uses, which may not be those asked for."""
        session = event.get("session")
        self._model = _name(session) or self._model
        transcription = _get(_get(_get(session, "audio"), "input"), "transcription")
        self._transcriber = _name(transcription) or self._transcriber

    def _answered(self, event: Event, now: float) -> list[UsageLine]:
        response = event.get("response")
        used = _by_model(_get(response, "usage"), of_response, self._model)
        key = _RESPONSE_DONE, _get(response, "id"), 0
        return self._count(key, used, day_of(now), final=True)

    def _transcribed(self, event: Event, now: float) -> list[UsageLine]:
        used = _by_model(event.get("usage"), of_transcription, self._transcriber)
        index, final = event.get("content_index"), event.get("status", "completed") == "completed"
        key = _TRANSCRIBED, event.get("item_id"), index if isinstance(index, int) else 0
        return self._count(key, used, day_of(now), final=final)

    def _count(
        self, key: _Key, used: Mapping[str, Usage], day: int, *, final: bool
    ) -> list[UsageLine]:
        if not used:
            return []
        if not isinstance(key[1], str):  # cannot be told from others; better twice than never
            return list(self._add(self._by_line(used, day)))
        before = self._reports.pop(key, None)
        if before is None:
            report = _Report(day, self._by_line(used, day), final)
        elif before.final and not final:
            report = before
        else:  # a correction stays on its day
            report = _Report(before.day, self._by_line(used, before.day), final)
        self._reports[key] = report
        if len(self._reports) > _MAX_REPORTS:
            del self._reports[next(iter(self._reports))]
        return list(self._add(_difference(report.used, before.used if before else {})))

    def _by_line(self, used: Mapping[str, Usage], day: int) -> dict[_Line, Usage]:
        lines: dict[_Line, Usage] = {}
        for model, usage in used.items():
            line = model, day
            if line not in self._lines and len(self._lines.keys() | lines) >= _MAX_LINES:
                line = OTHER, day
            lines[line] = lines.get(line, Usage()) + usage
        return lines

    def _add(self, more: Mapping[_Line, Usage]) -> Iterator[UsageLine]:
        for line, usage in more.items():
            if usage == Usage():
                continue
            self._seq += 1
            total = self._lines[line].usage + usage if line in self._lines else usage
            self._lines[line] = UsageLine(model=line[0], day=line[1], usage=total, seq=self._seq)
            yield self._lines[line]


def _difference(after: Mapping[_Line, Usage], before: Mapping[_Line, Usage]) -> dict[_Line, Usage]:
    nothing = Usage()
    lines = {**before, **after}
    return {line: after.get(line, nothing) - before.get(line, nothing) for line in lines}


def _by_model(given: Any, read: Callable[[Any], Usage | None], model: str) -> Mapping[str, Usage]:
    """What each model used: those of the `parts`, where the engine tells them, else this one."""
    parts = _get(given, "parts")
    if isinstance(parts, list):
        return of_parts(parts)
    usage = read(given)
    return {} if usage is None else {model: usage}


def of_parts(parts: list[Any]) -> dict[str, Usage]:
    """Read the `parts` of a usage, by model; whatever is not named counts as `OTHER`.

    Each part of an engine that is made of several models tells its tokens (text), the characters
    that it spoke, or the seconds of speech that it heard or made.
    """
    used: dict[str, Usage] = {}
    for part in islice(filter(_is_object, parts), _MAX_PARTS):
        taken = _count(part, "input_tokens")
        usage = Usage(
            text_in=taken,
            text_cached=min(_count(part, "cached_tokens"), taken),
            text_out=_count(part, "output_tokens"),
            characters=_count(part, "characters"),
            milliseconds=_milliseconds(part.get("seconds")),
        )
        model = _name(part) or OTHER
        used[model] = used.get(model, Usage()) + usage
    return used


def of_response(given: Any) -> Usage | None:
    """Read `response.usage` of a `response.done`; None if there is none (PROTOCOL §8).

    Tokens without details count as audio, the dearer kind, and cached ones as text, on which
    caching saves less: missing details must never make a session look cheap.
    """
    if not isinstance(given, dict):
        return None
    input_details = _object(given, "input_token_details")
    output_details = _object(given, "output_token_details")
    text, audio, image = (_count(input_details, f"{kind}_tokens") for kind in _MODALITIES)
    audio += max(0, _count(given, "input_tokens") - text - audio - image)
    cached = _cached(input_details, (text, audio, image))
    text_out = _count(output_details, "text_tokens")
    audio_out = _count(output_details, "audio_tokens")
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
        reasoning=min(_count(output_details, "reasoning_tokens"), text_out),
    )


def of_transcription(given: Any) -> Usage | None:
    """Read `usage` of a completed input transcription, by tokens or by duration; else None."""
    if not isinstance(given, dict):
        return None
    if given.get("type") == "duration" or "seconds" in given:
        return Usage(milliseconds=_milliseconds(given.get("seconds")))
    details = _object(given, "input_token_details")
    text = _count(details, "text_tokens")
    detailed = text + _count(details, "audio_tokens")
    audio = max(detailed, _count(given, "input_tokens")) - text
    return Usage(text_in=text, audio_in=audio, text_out=_count(given, "output_tokens"))


def cost(usage: Usage, price: Price | None) -> int | None:
    """Micro-dollars, rounded up once; None if something that was used has no known price.

    Speech is charged by its time, by its characters or by both, as it has prices.
    """
    if price is None:
        return None
    amounts = (
        *_input(usage.text_in, usage.text_cached, price.text_in, price.text_cached),
        *_input(usage.audio_in, usage.audio_cached, price.audio_in, price.audio_cached),
        *_input(usage.image_in, usage.image_cached, price.image_in, price.image_cached),
        (usage.text_out, price.text_out),
        (usage.audio_out, price.audio_out),
    )
    spoken = usage.milliseconds or usage.characters
    if spoken and price.minute is None and price.characters is None:
        return None
    sixty_thousandths = usage.milliseconds * (price.minute or 0)  # of a pico-dollar
    sixty_thousandths += usage.characters * (price.characters or 0) * _MS_PER_MINUTE
    for count, each in amounts:
        if count and each is None:
            return None
        sixty_thousandths += count * (each or 0) * _MS_PER_MINUTE
    return -(-sixty_thousandths // (_MS_PER_MINUTE * PICO_PER_MICRO))


def _input(
    count: int, cached: int, each: int | None, each_cached: int | None
) -> tuple[tuple[int, int | None], tuple[int, int | None]]:
    return (count - cached, each), (cached, each if each_cached is None else each_cached)


def _cached(input_details: dict[str, Any], inputs: tuple[int, int, int]) -> list[int]:
    """Cached text, audio and image tokens, of each kind at most its input."""
    details = _object(input_details, "cached_tokens_details")
    detailed = [_count(details, f"{kind}_tokens") for kind in _MODALITIES]
    cached = [min(count, most) for count, most in zip(detailed, inputs, strict=True)]
    rest = max(0, _count(input_details, "cached_tokens") - sum(detailed))
    for index, most in enumerate(inputs):
        more = min(rest, most - cached[index])
        cached[index] += more
        rest -= more
    return cached


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}


def _count(given: dict[str, Any], name: str) -> int:
    """A number of tokens or characters; 0 for anything that cannot be one."""
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value <= _MAX_COUNT else 0


def _milliseconds(seconds: Any) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return 0
    return math.ceil(round(seconds * 1000, 3)) if 0 <= seconds <= _MAX_COUNT else 0


def _is_object(given: Any) -> bool:
    return isinstance(given, dict)


def _get(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None


def _name(given: Any) -> str:
    value = _get(given, "model")
    return value[:_MAX_NAME] if isinstance(value, str) else ""

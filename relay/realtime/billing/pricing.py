"""The price table of models, and the lookup of a model's price by name (PROTOCOL §8)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn

DATE: Final = "2026-11-30"
"""The date of the table: later price changes are not in it."""

PICO_PER_MICRO: Final = 10**6
_PER_MILLION: Final = 10**6  # a dollar a million tokens is this many pico-dollars a token
_PER_MINUTE: Final = 10**12  # a dollar in pico-dollars

Row = Mapping[str, Any]

_CURRENT: Final[Row] = {
    "text_in": "4",
    "text_cached": "0.40",
    "text_out": "24",
    "audio_in": "32",
    "audio_cached": "0.40",
    "audio_out": "64",
    "image_in": "5",
    "image_cached": "0.50",
}

TABLE: Final[Mapping[str, Row]] = {
    "gpt-realtime-2.1": _CURRENT,
    "gpt-realtime-2": _CURRENT,
    "gpt-realtime-1.5": {**_CURRENT, "text_out": "16"},
    "gpt-realtime": {"like": "gpt-realtime-1.5", "inferred": True},
    "gpt-realtime-2.1-mini": {
        "text_in": "0.60",
        "text_cached": "0.06",
        "text_out": "2.40",
        "audio_in": "10",
        "audio_cached": "0.30",
        "audio_out": "20",
        "image_in": "0.80",
        "image_cached": "0.08",
    },
    "gpt-realtime-mini": {"like": "gpt-realtime-2.1-mini", "inferred": True},
    "gpt-4o-transcribe": {
        "text_in": "2.5",
        "audio_in": "2.5",
        "text_out": "10",
        "minute": "0.006",
        "inferred": True,
    },
    "gpt-4o-mini-transcribe": {
        "text_in": "1.25",
        "audio_in": "1.25",
        "text_out": "5",
        "minute": "0.003",
        "inferred": True,
    },
    "gpt-realtime-whisper": {"minute": "0.017"},
    "gpt-live-transcribe": {"minute": "0.017"},
    "gpt-realtime-translate": {"minute": "0.034"},
    "gpt-transcribe": {"minute": "0.006", "inferred": True},
    "whisper-1": {"minute": "0.006"},
    "gpt-4.1": {"text_in": "2", "text_cached": "0.50", "text_out": "8", "inferred": True},
    "gpt-4.1-mini": {
        "text_in": "0.40",
        "text_cached": "0.10",
        "text_out": "1.60",
        "inferred": True,
    },
    "gpt-4.1-nano": {
        "text_in": "0.10",
        "text_cached": "0.025",
        "text_out": "0.40",
        "inferred": True,
    },
    "gpt-4o": {"text_in": "2.50", "text_cached": "1.25", "text_out": "10", "inferred": True},
    "gpt-4o-mini": {
        "text_in": "0.15",
        "text_cached": "0.075",
        "text_out": "0.60",
        "inferred": True,
    },
    "gpt-4o-mini-tts": {"minute": "0.015", "inferred": True},
    "tts-1": {"characters": "15"},
    "tts-1-hd": {"characters": "30"},
    "eleven_flash_v2_5": {"characters": "50", "inferred": True},
    "eleven_flash_v2": {"like": "eleven_flash_v2_5"},
    "eleven_turbo_v2_5": {"like": "eleven_flash_v2_5"},
    "eleven_multilingual_v2": {"characters": "100", "inferred": True},
    "eleven_v3": {"like": "eleven_multilingual_v2"},
    "azure-neural": {"characters": "16", "inferred": True},
    "azure-speech": {"minute": "0.016666666667", "inferred": True},  # a dollar an hour
}
"""US dollars a million tokens or `characters`, or a `minute`. `like` inherits from another row;
`inferred` marks prices that were not read on the provider's own page, and a `minute` of what is
billed by tokens. What runs on a machine of one's own is in no table: it costs nothing."""

_DATED: Final = re.compile(r"-\d{4}-\d{2}-\d{2}\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Pico-dollars a token by modality and direction, a minute and a character of speech.

    None if no price is known. Cached input without a price of its own costs what other input costs.
    """

    text_in: int | None = None
    text_cached: int | None = None
    text_out: int | None = None
    audio_in: int | None = None
    audio_cached: int | None = None
    audio_out: int | None = None
    image_in: int | None = None
    image_cached: int | None = None
    minute: int | None = None
    characters: int | None = None
    inferred: bool = False


_AMOUNTS: Final = frozenset(Price.__dataclass_fields__) - {"inferred"}


class Prices:
    """The table with an operator's own rows on top.

    `own` has the shape of `TABLE`: a new name adds a row (an Azure deployment, mostly `like` a
    model), a known name changes only the fields it gives (a discount). Raises ValueError, naming
    the row and the field, for an invalid price.
    """

    def __init__(self, own: Mapping[str, Row] | None = None) -> None:
        changed = {model: {**TABLE.get(model, {}), **row} for model, row in (own or {}).items()}
        rows = {**TABLE, **changed}
        self._prices = {model: _price(model, rows) for model in rows}

    def find(self, model: str) -> Price | None:
        """The price of a model, or of the model of which it is a dated version; else None.

        A prefix is never a match: `gpt-realtime-3` is not `gpt-realtime`.
        """
        exact = self._prices.get(model)
        return exact if exact is not None else self._prices.get(_DATED.sub("", model))


def _price(model: str, rows: Mapping[str, Row]) -> Price:
    fields = _fields(model, rows, ())
    unknown = fields.keys() - _AMOUNTS - {"inferred"}
    if unknown:
        raise ValueError(f"{model}: unknown price field {', '.join(map(repr, sorted(unknown)))}")
    amounts = {name: _pico(model, name, fields[name]) for name in fields if name in _AMOUNTS}
    return Price(**amounts, inferred=bool(fields.get("inferred")))


def _fields(model: str, rows: Mapping[str, Row], seen: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a row, with those inherited from the row that it is `like`."""
    row = None if model in seen else rows.get(model)
    if row is None:
        raise ValueError(f"{' like '.join((*seen, model))}: no such row in the price table")
    if "like" not in row:
        return dict(row)
    own = {name: value for name, value in row.items() if name != "like"}
    inherited = _fields(str(row["like"]), rows, (*seen, model))
    return {**inherited, **own}


def _pico(model: str, name: str, dollars: Any) -> int:
    """Convert an amount in dollars, text or a number, to pico-dollars without rounding."""
    scale = _PER_MINUTE if name == "minute" else _PER_MILLION
    try:
        amount = Decimal(str(dollars)) * scale
        whole = amount.is_finite() and amount >= 0 and amount == amount.to_integral_value()
        return int(amount) if whole else _invalid(model, name, dollars)
    except ArithmeticError:  # not a number, or one beyond any decimal
        return _invalid(model, name, dollars)


def _invalid(model: str, name: str, dollars: Any) -> NoReturn:
    raise ValueError(f"{model}: {name!r} must be a price in dollars, not {dollars!r}")

"""One session's meter: what each model used on each day, counted once (PROTOCOL §5.12, §8)."""

from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from relay.realtime.events import Event
from relay.realtime.prices import Prices
from relay.realtime.usage import Usage, cost, of_response, of_transcription

_ANSWERED: Final = "response.done"
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
_CONFIGURED: Final = ("session.created", "session.updated")
_DAY_SECONDS: Final = 86_400
_MAX_REMEMBERED: Final = 1024  # bills that a double or a correction may still name
_MAX_LINES: Final = 64  # a client may name a new transcriber at any time; a call knows a few
_MAX_NAME: Final = 128  # characters of a model's name, as at the doors
OTHER: Final = "other"
"""Stands for the models beyond the bound. It has no price, so that it is noticed."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
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


class Meter:
    """Feed it every event that it `reads`, out-of-band responses too: they are billed like others.

    Each response and each transcribed part is counted once, whatever is doubled; a later bill for
    the same one replaces it, an interim transcription never a final one.
    """

    reads: Final = frozenset({_ANSWERED, _TRANSCRIBED, *_CONFIGURED})

    def __init__(self, model: str, transcription_model: str) -> None:
        self._model = model[:_MAX_NAME]
        self._heard_by = transcription_model[:_MAX_NAME]
        self._bills: dict[tuple[str, str, int], _Bill] = {}
        self._lines: dict[tuple[str, int], Line] = {}
        self._seq = 0

    def feed(self, event: Event, now: float) -> Line | None:
        """Take one server event at `now` (Unix seconds); returns the line that it changed."""
        kind = event.get("type")
        if kind == _ANSWERED:
            return self._answered(event, now)
        if kind == _TRANSCRIBED:
            return self._transcribed(event, now)
        if kind in _CONFIGURED:
            self._configured(event)
        return None

    def lines(self) -> list[Line]:
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

    def _answered(self, event: Event, now: float) -> Line | None:
        response = event.get("response")
        usage, line = of_response(_part(response, "usage")), self._line(self._model, now)
        key = _ANSWERED, _part(response, "id"), 0
        return self._count(key, _Bill(line, usage, final=True)) if usage else None

    def _transcribed(self, event: Event, now: float) -> Line | None:
        usage, line = of_transcription(event.get("usage")), self._line(self._heard_by, now)
        index, final = event.get("content_index"), event.get("status", "completed") == "completed"
        key = _TRANSCRIBED, event.get("item_id"), index if isinstance(index, int) else 0
        return self._count(key, _Bill(line, usage, final)) if usage else None

    def _line(self, model: str, now: float) -> tuple[str, int]:
        key = model, day_of(now)
        return key if key in self._lines or len(self._lines) < _MAX_LINES else (OTHER, key[1])

    def _count(self, key: tuple[str, Any, int], bill: _Bill) -> Line | None:
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

    def _add(self, key: tuple[str, int], more: Usage) -> Line | None:
        if more == Usage():
            return None
        self._seq += 1
        usage = self._lines[key].usage + more if key in self._lines else more
        self._lines[key] = Line(model=key[0], day=key[1], usage=usage, seq=self._seq)
        return self._lines[key]


def _part(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None


def _name(given: Any) -> str:
    value = _part(given, "model")
    return value[:_MAX_NAME] if isinstance(value, str) else ""

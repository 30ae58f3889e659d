"""`relay replay`: feeds a recorded session through the rules of a live one."""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from relay.cli.console import CliCommand, fail, say
from relay.realtime.billing.pricing import DATE, Prices
from relay.realtime.billing.usage import OTHER, UsageMeter
from relay.realtime.dialects.beta import beta_to_ga, to_ga
from relay.realtime.events import AUDIO_DELTA
from relay.realtime.items import ROOT, InjectedItems
from relay.realtime.playout import InstantPlayback
from relay.realtime.records import Utterance
from relay.realtime.replays import ReplayedItems
from relay.realtime.reported import ReportedSession
from relay.realtime.requests import RequestTracker
from relay.realtime.transcript import Transcript

_LATEST: Final = 1e11
"""Seconds: the year 5138 for a clock of Unix time."""

Row = dict[str, Any]
"""`{"dir": "c2s" | "s2c" | None, "t": seconds | None, "event": {...}}`, in recorded order."""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE.jsonl", help="a recording: rows of dir, t and event"
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def _run(given: argparse.Namespace) -> int:
    """Print what was said; exit code 1 for a file that is no recording."""
    replayed = replay(_rows(given.file))
    used = usage_of(replayed.meter, Prices())
    if given.json:
        said = [msgspec.to_builtins(utterance) for utterance in replayed.utterances]
        say(json.dumps({"utterances": said, "usage": used}, ensure_ascii=False))
        return 0
    for utterance in replayed.utterances:
        note = "" if utterance.state == "final" else f"  [{utterance.state}]"
        say(f"{utterance.role + ':':11}{utterance.text}{note}")
    say(f"{used['input_tokens']} tokens in, {used['output_tokens']} out{_cost(used)}")
    return 0


REPLAY: Final = CliCommand(
    name="replay",
    help="feed a recorded session (JSON lines) through the rules and print its transcript",
    example="relay replay session.jsonl --json",
    options=_options,
    run=_run,
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """The utterances in conversation order, and the meter of what they used."""

    utterances: list[Utterance]
    meter: UsageMeter


def replay(rows: Iterable[Row]) -> Replayed:
    """Feed a recording through the rules; events may have their GA or their beta names."""
    transcript, meter = Transcript(InstantPlayback()), UsageMeter(OTHER, OTHER)
    session, latest, now = ReportedSession(), dict[tuple[str, int], Utterance](), 0.0
    for now, event in _from_engine(rows, transcript, session):
        session.observe(event, now)
        if event["type"] == AUDIO_DELTA:
            _play(transcript, session, event)
        meter.observe(event, now)
        for utterance in transcript.observe(event, now):
            latest[utterance.item_id, utterance.content_index] = utterance
    for utterance in transcript.finish(now):
        latest[utterance.item_id, utterance.content_index] = utterance
    ordered = sorted(latest.values(), key=lambda utterance: utterance.position)
    return Replayed(ordered, meter)


def _time(given: Any, number: int) -> float:
    """A row's time in seconds; its number where it has none that a clock could show."""
    if isinstance(given, int | float) and 0 <= given <= _LATEST:  # not a number is in no range
        return float(given)
    return float(number)


def _from_engine(
    rows: Iterable[Row], transcript: Transcript, session: ReportedSession
) -> Iterator[tuple[float, Row]]:
    """The engine's events in GA form, with their times; a row's without one is its number.

    What the client put at the front is so: the engine tells no predecessor of it. Nor do all say
    in which format an answer is that the client asked for.
    """
    requests, now = RequestTracker(), 0.0
    places = ReplayedItems((), InjectedItems(requests), requests, transcript)
    for number, row in enumerate(rows):
        now, event = max(now, _time(row.get("t"), number)), row.get("event")
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            continue
        if row.get("dir") == "s2c":
            event = beta_to_ga(event)
            placed = places.from_engine(event, now)
            yield now, event if placed is None else placed.events[0]
        elif event["type"] == "response.create":
            session.ask(to_ga(event))
        elif event.get("previous_item_id") == ROOT and isinstance(event.get("item"), dict):
            places.from_client(event, now)


def _play(transcript: Transcript, session: ReportedSession, event: Row) -> None:
    item, delta = event.get("item_id"), event.get("delta")
    if isinstance(item, str) and isinstance(delta, str):
        transcript.add_audio(item, len(delta) * 3 // session.rate_of(item))


def usage_of(meter: UsageMeter, prices: Prices) -> dict[str, Any]:
    """The usage as JSON values; `cost_usd` is in dollars at the prices of `priced_at`."""
    totals, cost = meter.totals(), meter.cost(prices)
    return {
        "input_tokens": sum(usage.input_tokens for usage in totals.values()),
        "cached_tokens": sum(usage.cached_tokens for usage in totals.values()),
        "output_tokens": sum(usage.output_tokens for usage in totals.values()),
        "by_model": {model: msgspec.to_builtins(usage) for model, usage in totals.items()},
        "cost_usd": cost.known / 1_000_000,
        "unpriced": list(cost.unpriced),
        "priced_at": DATE,
    }


def _cost(used: dict[str, Any]) -> str:
    if used["unpriced"]:
        return f"; no price is known for {', '.join(used['unpriced'])}"
    return f", {used['cost_usd']:.4f} dollars at the prices of {used['priced_at']}"


def _rows(path: Path) -> list[Row]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read: {error}")
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            fail(f"{path}:{number}: not a row of a recording, which is a JSON object")
        rows.append(row)
    return rows

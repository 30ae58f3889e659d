"""A recorded session through the rules that a live one goes through."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from relay.realtime.billing.usage import OTHER, Meter
from relay.realtime.dialects.beta import beta_to_ga
from relay.realtime.events import AUDIO_DELTA, BASE64_PER_MS
from relay.realtime.playout import AtOnce
from relay.realtime.records import Utterance
from relay.realtime.transcript import Transcript

Row = dict[str, Any]
"""`{"dir": "c2s" | "s2c" | None, "t": seconds | None, "event": {...}}`, in recorded order."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was said, in conversation order, and what it used."""

    utterances: list[Utterance]
    meter: Meter


def replay(rows: Iterable[Row]) -> Replayed:
    """Feed a recording through the rules; logs with beta names are understood too.

    Where a row has no time, its number counts as one.
    """
    transcript, meter = Transcript(AtOnce()), Meter(OTHER, OTHER)
    last, now = dict[tuple[str, int], Utterance](), 0.0
    for number, row in enumerate(rows):
        time = row.get("t")
        now = max(now, float(time) if isinstance(time, (int, float)) else float(number))
        event = row.get("event")
        if row.get("dir") != "s2c" or not isinstance(event, dict) or "type" not in event:
            continue
        event = beta_to_ga(event)
        if event["type"] == AUDIO_DELTA:
            _count(transcript, event)
        meter.feed(event, now)
        for utterance in transcript.feed(event, now):
            last[utterance.item_id, utterance.content_index] = utterance
    for utterance in transcript.finish(now):
        last[utterance.item_id, utterance.content_index] = utterance
    ordered = sorted(last.values(), key=lambda utterance: utterance.position)
    return Replayed(ordered, meter)


def _count(transcript: Transcript, event: dict[str, Any]) -> None:
    item, delta = event.get("item_id"), event.get("delta")
    if isinstance(item, str) and isinstance(delta, str):
        transcript.audio(item, len(delta) // BASE64_PER_MS)

"""A recorded session through the rules that a live one goes through."""

from collections.abc import Iterable
from typing import Any

from relay.realtime.dialect import beta_to_ga
from relay.realtime.events import AUDIO_DELTA, BASE64_PER_MS
from relay.realtime.playout import AtOnce
from relay.realtime.transcript import Transcript
from relay.realtime.utterance import Utterance

Row = dict[str, Any]
"""`{"dir": "c2s" | "s2c" | None, "t": seconds | None, "event": {...}}`, in recorded order."""


def replay(rows: Iterable[Row]) -> list[Utterance]:
    """What was said, in conversation order; logs with beta names are understood too.

    Where a row has no time, its number counts as one.
    """
    transcript, last, now = Transcript(AtOnce()), dict[tuple[str, int], Utterance](), 0.0
    for number, row in enumerate(rows):
        time = row.get("t")
        now = max(now, float(time) if isinstance(time, (int, float)) else float(number))
        event = row.get("event")
        if row.get("dir") != "s2c" or not isinstance(event, dict) or "type" not in event:
            continue
        event = beta_to_ga(event)
        if event["type"] == AUDIO_DELTA:
            _count(transcript, event)
        for utterance in transcript.feed(event, now):
            last[utterance.item_id, utterance.content_index] = utterance
    for utterance in transcript.finish(now):
        last[utterance.item_id, utterance.content_index] = utterance
    return sorted(last.values(), key=lambda utterance: utterance.position)


def _count(transcript: Transcript, event: dict[str, Any]) -> None:
    item, delta = event.get("item_id"), event.get("delta")
    if isinstance(item, str) and isinstance(delta, str):
        transcript.audio(item, len(delta) // BASE64_PER_MS)

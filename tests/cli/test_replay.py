"""Recorded sessions give the transcript that a human reads in them."""

import json
from typing import Any

import pytest

from relay.cli.replay import replay
from tests.realtime import wire_events as wire
from tests.recordings import RECORDINGS

EXPECTED: dict[str, Any] = (
    json.loads((RECORDINGS / "expected.json").read_text()) if RECORDINGS.is_dir() else {"none": {}}
)


def rows_of(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"dir": "s2c", "t": None, "event": event} for event in events]


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not beside the checkout")
@pytest.mark.parametrize("name", EXPECTED)
def test_a_recording_gives_its_expected_transcript(name: str) -> None:
    rows = [json.loads(line) for line in (RECORDINGS / name).read_text().splitlines()]
    turns = [turn for turn in EXPECTED[name]["turns"] if turn["role"] in ("user", "assistant")]
    said = replay(rows).utterances
    assert [(u.role, u.text) for u in said] == [(t["role"], t["text"]) for t in turns if t["text"]]
    notes = {turn["item_id"]: " ".join(turn["notes"]) for turn in turns}
    for utterance in said:
        assert (utterance.state == "interrupted") == ("truncated" in notes[utterance.item_id])


def test_sound_is_counted_and_what_was_cut_is_marked() -> None:
    delta = {"type": "response.output_audio.delta", "item_id": "A1", "delta": "A" * 64_000}
    events = wire.answer("A1", "one two three four", None)
    truncated = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 500}
    (said,) = replay(rows_of(*events[:5], delta, *events[5:], truncated)).utterances
    assert (said.audio_ms, said.heard_ms, said.heard_text) == (1000, 500, "one two")


def test_rows_that_are_no_events_are_passed_over() -> None:
    rows: list[Any] = [
        {"dir": None, "event": {"type": "__ws_close__"}},
        {"dir": "s2c", "event": "nonsense"},
        {"dir": "s2c", "event": {}},
        {"dir": "c2s", "event": {"type": "response.create"}},
        *rows_of(*wire.typed("U1", "Hi", None)),
    ]
    assert [u.text for u in replay(rows).utterances] == ["Hi"]


def test_what_was_used_is_counted_once() -> None:
    usage = {"input_tokens": 5, "output_tokens": 7, "input_token_details": {"text_tokens": 5}}
    done = {"type": "response.done", "response": {"id": "r1", "output": [], "usage": usage}}
    created = {"type": "session.created", "session": {"model": "gpt-realtime-2.1"}}
    totals = replay(rows_of(created, done, done)).meter.totals()
    assert list(totals) == ["gpt-realtime-2.1"]
    assert (totals["gpt-realtime-2.1"].text_in, totals["gpt-realtime-2.1"].output_tokens) == (5, 7)

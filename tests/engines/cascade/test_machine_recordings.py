"""Our events beside recorded ones: the same keys in the same order, the same events in a turn."""

import json
import math
from typing import Any

import pytest

from relay.parts.interfaces import FunctionCall, Reply, SpokenMessage
from relay.parts.simple import silence, tone
from tests.engines.cascade.driving import DELTAS, TEXT, TRANSCRIBED, Talk, scripted
from tests.recordings import RECORDINGS, needs_recordings

NAMES = [
    "ga01_openai_server_vad_turn",
    "ga03_openai_history_seeding_text",
    "ga04_openai_text_in_audio_out",
    "ga05_openai_tool_call_round",
    "ga16_openai_parity_tool_round_current",
]
WEATHER = FunctionCall("get_weather", {"city": "London"})
REPLIES: dict[str, tuple[str | Reply, ...]] = {
    "ga05_openai_tool_call_round": (Reply((WEATHER,)), "{heard}"),
    "ga16_openai_parity_tool_round_current": (
        Reply((SpokenMessage("Let me see.", phase="commentary"), WEATHER)),
        Reply((SpokenMessage("{heard}", phase="final_answer"),)),
    ),
}
LOOSE = (*DELTAS, "conversation.item.input_audio_transcription.completed")
ERRORS = "p02_probe_ga_text_four_errors"


def recorded(name: str) -> list[dict[str, Any]]:
    path = RECORDINGS / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["dir"] is not None]


def replayed(name: str) -> Talk:
    """Send our machine what the recorded client sent, once what it waited for has come."""
    replies = REPLIES.get(name, ("You said: {heard}",))
    talk = Talk(scripted("Hello, my name is Marcelo.", replies=replies))
    appended = False
    for row in recorded(name):
        event = row["event"]
        if row["dir"] != "c2s":
            if event["type"] == "response.done":
                talk.finish()
        elif event["type"] != "input_audio_buffer.append":
            talk.send(event)
        elif not appended:  # the recorder kept no audio: a tone stands for the whole clip
            appended = True
            talk.append(silence(1800) + tone(2200) + silence(1000))
    talk.finish()
    return talk


def skeleton(value: Any) -> Any:
    """Return a value's keys in their order, and the kinds of what they hold."""
    if isinstance(value, dict):
        return [(key, skeleton(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [skeleton(inner) for inner in value[:1]]
    if isinstance(value, float) and not math.isnan(value):
        return "number"
    return {int: "number", type(None): "null"}.get(type(value), type(value).__name__)


def comparable(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what has a fixed place (and was recorded: the recorder hung up early)."""
    return [event for event in events if event["type"] not in (*LOOSE, "rate_limits.updated")]


@needs_recordings
@pytest.mark.parametrize("name", NAMES)
def test_our_events_come_in_the_recorded_order_with_the_recorded_keys(name: str):
    theirs = [row["event"] for row in recorded(name) if row["dir"] == "s2c"]
    ours = replayed(name).events

    assert [event["type"] for event in comparable(ours)] == [
        event["type"] for event in comparable(theirs)
    ]
    for mine, real in zip(comparable(ours), comparable(theirs), strict=True):
        assert skeleton(mine) == skeleton(real)
    for kind in LOOSE:
        first = [next((e for e in es if e["type"] == kind), None) for es in (ours, theirs)]
        assert skeleton(first[0]) == skeleton(first[1])


@needs_recordings
def test_errors_are_worded_as_recorded():
    talk = Talk()
    talk.say("session.update", session=TEXT)
    for row in recorded(ERRORS):
        event = row["event"]
        if row["dir"] == "c2s" and event.get("type") in ("nope", "session.update"):
            talk.send(event)
        elif row["dir"] == "c2s" and "__raw_text__" in event:
            talk.frame(event["__raw_text__"].encode())
    ours = [event["error"] for event in talk.of("error")]

    theirs = [
        row["event"]["error"] for row in recorded(ERRORS) if row["event"].get("type") == "error"
    ]
    assert ours[:2] == theirs[:2]
    assert ours[2]["code"] == theirs[2]["code"] == "invalid_json"
    assert theirs[2]["message"].startswith(ours[2]["message"])


@needs_recordings
def test_seeded_history_is_echoed_as_recorded():
    name = "ga03_openai_history_seeding_text"
    theirs = [
        row["event"]["item"]["content"]
        for row in recorded(name)
        if row["event"]["type"] == "conversation.item.added"
    ]

    ours = [event["item"]["content"] for event in replayed(name).of("conversation.item.added")]

    assert ours[:3] == theirs[:3]


def test_the_prefix_and_the_silence_are_counted_as_recorded():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)

    talk.append(silence(1760) + tone(2300) + silence(1000))

    assert talk.last("input_audio_buffer.speech_started")["audio_start_ms"] == 1460
    assert talk.last("input_audio_buffer.speech_stopped")["audio_end_ms"] == 4060 + 200

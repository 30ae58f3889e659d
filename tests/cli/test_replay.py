"""`relay replay`: recorded sessions give the transcript that a person reads in them."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies

from relay.cli import main as cli
from relay.cli.replay import replay
from tests.realtime import wire_events as wire
from tests.recordings import RECORDINGS, needs_recordings

EXPECTED: dict[str, Any] = (
    json.loads((RECORDINGS / "expected.json").read_text()) if RECORDINGS.is_dir() else {"none": {}}
)

KEYS = (
    *("item_id", "content_index", "delta", "transcript", "text", "item", "id", "role", "status"),
    *("content", "type", "previous_item_id", "audio_end_ms", "response", "output", "usage"),
    *(
        "conversation_id",
        "session",
        "audio",
        "output_audio_format",
        "format",
        "model",
        "part",
        "input_tokens",
        "name",
    ),
)
KINDS = (
    *("session.created", "session.updated", "input_audio_buffer.committed", "response.done"),
    *("conversation.item.added", "conversation.item.done", "conversation.item.truncated"),
    *("conversation.item.created", "response.audio.delta", "response.output_audio.delta"),
    *("response.created", "response.output_item.done", "conversation.item.retrieved"),
    *("conversation.item.create", "conversation.item.deleted", "response.create"),
    "response.output_item.added",
    "conversation.item.input_audio_transcription.completed",
    "response.output_audio_transcript.delta",
)


def rows_of(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"dir": "s2c", "t": None, "event": event} for event in events]


@needs_recordings
@pytest.mark.parametrize("name", EXPECTED)
def test_a_recording_gives_its_expected_transcript(name: str) -> None:
    rows = [json.loads(line) for line in (RECORDINGS / name).read_text().splitlines()]
    turns = [turn for turn in EXPECTED[name]["turns"] if turn["role"] in ("user", "assistant")]
    said = replay(rows).utterances
    spoken = [(u.role, u.text) for u in said if u.state != "failed" or u.text]
    assert spoken == [(t["role"], t["text"]) for t in turns if t["text"]]
    notes = {turn["item_id"]: " ".join(turn["notes"]) for turn in turns}
    for utterance in said:
        assert (utterance.state == "interrupted") == ("truncated" in notes[utterance.item_id])


def test_sound_is_counted_and_what_was_cut_is_marked() -> None:
    delta = {"type": "response.output_audio.delta", "item_id": "A1", "delta": "A" * 64_000}
    events = wire.answer("A1", "one two three four", None)
    truncated = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 500}
    (said,) = replay(rows_of(*events[:5], delta, *events[5:], truncated)).utterances
    assert (said.audio_ms, said.heard_ms, said.heard_text) == (1000, 500, "one two")


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
def test_a_telephones_sound_is_counted_at_its_own_rate(law: str) -> None:
    session = {"audio": {"output": {"format": {"type": law}}}}
    created = {"type": "session.created", "session": session}
    delta = {"type": "response.output_audio.delta", "item_id": "A1", "delta": "A" * 32_000}
    events = wire.answer("A1", "one two three four", None)
    truncated = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 1500}
    (said,) = replay(rows_of(created, *events[:5], delta, *events[5:], truncated)).utterances
    assert (said.audio_ms, said.heard_text) == (3000, "one two")


def test_what_the_client_deleted_is_replayed_as_said_and_marked() -> None:
    deleted = {"type": "conversation.item.deleted", "item_id": "U1"}
    typed, other = wire.typed("U1", "First.", None), wire.typed("U2", "Second.", "U1")
    first, second = replay(rows_of(*typed, *other, deleted)).utterances
    assert msgspec.to_builtins(first)["deleted_for_model"] is True
    assert (first.text, first.state) == ("First.", "final")
    assert "deleted_for_model" not in msgspec.to_builtins(second)


def test_what_the_client_put_at_the_front_is_printed_there() -> None:
    item = {"id": "X", "type": "message", "role": "user"}
    create = {"type": "conversation.item.create", "previous_item_id": "root", "item": item}
    rows = rows_of(*wire.typed("U1", "Second.", None))
    rows += [{"dir": "c2s", "t": None, "event": create}, *rows_of(*wire.typed("X", "First.", None))]
    assert [said.text for said in replay(rows).utterances] == ["First.", "Second."]


values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats()
    | strategies.sampled_from(["A1", "user", "assistant", "completed", "\ud83d", "root"]),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(
        strategies.sampled_from(KEYS), inner, max_size=5
    ),
    max_leaves=8,
)  # fmt: skip


@given(
    events=strategies.lists(
        strategies.builds(
            lambda kind, fields: {**fields, "type": kind},
            strategies.sampled_from(KINDS) | values,
            strategies.dictionaries(strategies.sampled_from(KEYS), values, max_size=6),
        ),
        max_size=6,
    ),
    times=values,
)
def test_no_recording_ends_in_a_traceback(events: list[dict[str, Any]], times: Any) -> None:
    rows = [{"dir": "s2c", "t": times, "event": event} for event in events]
    rows += [{"dir": "c2s", "event": event} for event in events]
    replayed = replay(rows + rows)
    assert [u.position for u in replayed.utterances] == sorted(
        u.position for u in replayed.utterances
    )


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf, 1e300, 10**400, -5, True, "1"])
def test_a_time_that_no_clock_shows_counts_as_none(time: Any) -> None:
    events = [*wire.spoken_turn("U1", None), *wire.answer("A1", "Yes.", "U1")]
    rows = [{"dir": "s2c", "t": time, "event": event} for event in events]
    (answer,) = [said for said in replay(rows).utterances if said.role == "assistant"]
    assert (answer.text, 0 <= answer.created_at <= len(rows)) == ("Yes.", True)


def test_half_a_surrogate_pair_is_printed_as_a_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "session.jsonl"
    rows = rows_of(*wire.typed("U1", "Hi \ud83d", None))
    path.write_text("\n".join(map(json.dumps, rows)))
    assert run(str(path)) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["user:", "Hi", "?"]
    assert run(str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["utterances"][0]["text"] == "Hi ?"


def test_rows_that_are_no_events_are_passed_over() -> None:
    rows: list[Any] = [
        {"dir": None, "event": {"type": "__ws_close__"}},
        {"dir": "s2c", "event": "nonsense"},
        {"dir": "s2c", "event": {}},
        {"dir": "c2s", "event": {"type": "response.create"}},
        *rows_of(*wire.typed("U1", "Hi", None)),
    ]
    assert [u.text for u in replay(rows).utterances] == ["Hi"]


def test_usage_is_counted_once() -> None:
    usage = {"input_tokens": 5, "output_tokens": 7, "input_token_details": {"text_tokens": 5}}
    done = {"type": "response.done", "response": {"id": "r1", "output": [], "usage": usage}}
    created = {"type": "session.created", "session": {"model": "gpt-realtime-2.1"}}
    totals = replay(rows_of(created, done, done)).meter.totals()
    assert list(totals) == ["gpt-realtime-2.1"]
    assert (totals["gpt-realtime-2.1"].text_in, totals["gpt-realtime-2.1"].output_tokens) == (5, 7)


def recording(folder: Path) -> Path:
    usage = {"input_tokens": 5, "output_tokens": 7, "input_token_details": {"text_tokens": 5}}
    done = {"type": "response.done", "response": {"id": "r1", "output": [], "usage": usage}}
    created = {"type": "session.created", "session": {"model": "gpt-realtime-2.1"}}
    events = [created, *wire.typed("U1", "Hi", None), *wire.answer("A1", "Hello", "U1"), done]
    path = folder / "session.jsonl"
    rows = [json.dumps({"dir": "s2c", "t": None, "event": event}) for event in events]
    path.write_text("\n".join(rows) + "\n\n")
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(["replay", *arguments])
    return int(left.value.code or 0)


def test_it_prints_what_was_said_and_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(recording(tmp_path))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:2]] == [["user:", "Hi"], ["assistant:", "Hello"]]
    assert lines[2].startswith("5 tokens in, 7 out, 0.000")


def test_as_json_it_says_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(recording(tmp_path)), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(u["item_id"], u["role"], u["text"], u["state"]) for u in told["utterances"]] == [
        ("U1", "user", "Hi", "final"),
        ("A1", "assistant", "Hello", "final"),
    ]
    assert told["usage"]["input_tokens"] == 5
    assert list(told["usage"]["by_model"]) == ["gpt-realtime-2.1"]


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"dir":"s2c"}\n{'])
def test_a_file_that_is_no_recording_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    assert run(str(path)) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "none.jsonl")) == 1
    assert "cannot be read" in capsys.readouterr().err

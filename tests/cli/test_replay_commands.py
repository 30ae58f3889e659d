"""`relay replay` on the command line."""

import json
from pathlib import Path

import pytest

from relay.cli import main as cli
from tests.realtime import wire_events as wire


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
def test_what_is_no_recording_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    assert run(str(path)) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "none.jsonl")) == 1
    assert "cannot be read" in capsys.readouterr().err

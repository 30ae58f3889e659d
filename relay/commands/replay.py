"""`relay replay`: a recorded session through the real rules."""

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from relay.commands.command import fail, say
from relay.realtime.replay import Row, replay

HELP = "feed a recorded session (JSON lines) through the rules and print its transcript"
EXAMPLE = "relay replay session.jsonl --json"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="rows of dir, t and event")
    parser.add_argument("--json", action="store_true", help="everything known, as one JSON object")


def run(given: argparse.Namespace) -> int:
    """Print what was said; exit code 1 for a file that is no recording."""
    utterances = replay(_rows(given.file))
    if given.json:
        told: dict[str, Any] = {"utterances": [msgspec.to_builtins(u) for u in utterances]}
        say(json.dumps(told, ensure_ascii=False))
        return 0
    for utterance in utterances:
        note = "" if utterance.state == "final" else f"  [{utterance.state}]"
        say(f"{utterance.role + ':':11}{utterance.text}{note}")
    return 0


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
        except ValueError:
            row = None
        if not isinstance(row, dict):
            fail(f"{path}:{number}: not a row of a recording, which is a JSON object")
        rows.append(row)
    return rows

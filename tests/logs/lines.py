"""Reads what was logged."""

import json
from pathlib import Path
from typing import Any


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def file_lines(path: Path) -> list[dict[str, Any]]:
    return lines_of(path.read_text("utf-8"))

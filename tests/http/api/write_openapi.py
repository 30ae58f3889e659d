"""Writes docs/openapi.json from the code: `python -m tests.http.api.write_openapi`."""

import json
from pathlib import Path

from relay.http.api.openapi import document

PATH = Path(__file__).parents[3] / "docs" / "openapi.json"


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())

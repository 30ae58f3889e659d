"""PyPI's `semantic-kernel`, unchanged: its realtime client calls functions by itself."""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.programs import LONG, TURN, WORDS, Programs
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("semantic_kernel")]
PROGRAM = Path(__file__).with_name("semantic_kernel_python.py")


async def test_a_conversation_with_a_plugin(served: Programs, tmp_path: Path) -> None:
    client = Client((str(require("semantic_kernel")), "-"), tmp_path, PROGRAM, TURN)

    seen = await client.talk(served.place("semantic-kernel"), tmp_path)
    stored = await served.stored("semantic-kernel")

    whole = [tuple(row) for row in seen["rows"] if not LONG.startswith(row[1])]
    assert whole == [
        ("assistant", "Good morning to you."),
        ("assistant", "I am listening."),
        ("tool", "rain"),
        ("assistant", "Rain in Oslo."),
    ]
    assert seen["seconds"] > 2
    assert seen["errors"] == []
    assert [one.said for one in stored] == [*WORDS]

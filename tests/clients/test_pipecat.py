"""PyPI's `pipecat-ai`, unchanged: a pipeline around its OpenAI realtime service.

To it every error is the end of the connection.
"""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.programs import LOCKED, LONG, TURN, Programs
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("pipecat")]
PROGRAM = Path(__file__).with_name("pipecat_python.py")
KEPT = [
    ("user", "Good morning."),
    ("assistant", "Good morning to you."),
    ("user", "Good morning."),
    ("user", "Good morning."),
    ("assistant", "I am listening."),
    ("user", "What is the weather in Oslo?"),
    ("assistant", ""),  # the call of the function
    ("tool", '"rain"'),
    ("assistant", "Rain in Oslo."),
]
STORED = [
    ("user", "Good morning."),
    ("assistant", "Good morning to you."),
    ("user", "Good morning."),
    ("assistant", "interrupted"),
    ("user", "Good morning."),
    ("assistant", "I am listening."),
    ("assistant", "Rain in Oslo."),  # what was asked for it went as a message of the system
]


@pytest.mark.parametrize("agent", [None, LOCKED], ids=["any agent", "a locked agent"])
async def test_a_conversation_goes_on_after_a_message_of_the_system(
    served: Programs, tmp_path: Path, agent: str | None
) -> None:
    """A locked agent takes none, and says so without an error."""
    client = Client((str(require("pipecat")), "-"), tmp_path, PROGRAM, TURN)
    sub = f"pipecat-{agent}"

    seen = await client.talk(served.place(sub, agent), tmp_path)
    assert seen["errors"] == []
    stored = await served.stored(sub)

    rows = [tuple(row) for row in seen["rows"]]
    assert [row for row in rows if not row[1] or not LONG.startswith(row[1])] == KEPT
    assert seen["seconds"] > 2
    assert [one.said for one in stored] == STORED

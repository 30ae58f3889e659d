"""npm's `openai-realtime-api`, unchanged: the RealtimeClient of the beta, as its fork is published.

It knows beta events alone, keeps the conversation from them, and calls functions by itself.
"""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.programs import TURN, WORDS, Programs
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("realtime_client")]
PROGRAM = Path(__file__).with_name("realtime_client_node.mjs")
KEPT = [
    ["user", "Good morning."],
    ["assistant", "Good morning to you."],
    ["user", "Tell me of Barbara."],
    ["assistant", ""],  # it forgets the words of what was cut
    ["user", "Good morning."],
    ["assistant", "I am listening."],
    ["user", "What is the weather in Oslo?"],
    ["function_call", '{"city":"Oslo"}'],
    ["function_call_output", '{"Oslo":"rain"}'],
    ["assistant", "Rain in Oslo."],
]


async def test_a_conversation_in_beta_names(served: Programs, tmp_path: Path) -> None:
    node = str(require("node")), "--input-type=module", "-"
    client = Client(node, require("realtime_client"), PROGRAM, TURN)

    seen = await client.talk(served.place("realtime-client"), tmp_path)
    stored = await served.stored("realtime-client")

    assert seen["rows"] == KEPT
    assert seen["seconds"] > 2
    # It cancels what it hears somebody speak over, though the server has done so.
    assert set(seen["errors"]) <= {"response_cancel_not_active"}
    assert [one.said for one in stored] == [*WORDS]

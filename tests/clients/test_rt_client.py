"""npm's `rt-client`, unchanged: Azure's client of the beta, at Azure's address with Azure's header.

It ends at any event that it does not know, and sees the learner's words only where it asked.
"""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.programs import TURN, WORDS, Programs
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("rt_client")]
PROGRAM = Path(__file__).with_name("rt_client_node.mjs")


@pytest.mark.parametrize("asks", [(), ("transcription",)], ids=["plain", "with the words"])
async def test_a_conversation_at_azures_address(
    served: Programs, tmp_path: Path, asks: tuple[str, ...]
) -> None:
    node = str(require("node")), "--input-type=module", "-"
    client = Client(node, require("rt_client"), PROGRAM, TURN)
    sub = "-".join(("rt-client", *asks))

    seen = await client.talk(served.place(sub), tmp_path, *asks)
    stored = await served.stored(sub)

    rows = [tuple(row) for row in seen["rows"]]
    spoken = "Good morning." if asks else ""
    assert rows[0] == rows[3] == ("user", spoken)
    assert [rows[1], *rows[4:]] == [
        ("assistant", "Good morning to you."),
        ("assistant", "I am listening."),
        ("function_call", '{"city":"Oslo"}'),
        ("assistant", "Rain in Oslo."),
    ]
    assert seen["seconds"] > 2
    assert [one.said for one in stored] == [*WORDS]

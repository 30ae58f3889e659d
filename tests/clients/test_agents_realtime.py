"""npm's `@openai/agents-realtime` from Node, unchanged; it truncates and calls tools by itself."""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.conversation import KEPT, SAID_AGAIN, Place, direct, relayed
from tests.clients.seen import Seen, held
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("agents_realtime")]
PROGRAM = Path(__file__).with_name("agents_node.mjs")


async def hold(place: Place, folder: Path) -> tuple[Seen, Seen]:
    node = str(require("node")), "--input-type=module", "-"
    return await held(Client(node, require("agents_realtime"), PROGRAM), place, folder)


async def test_the_same_history_as_without_the_relay(tmp_path: Path) -> None:
    async with direct(tmp_path) as place:
        plain, plain_again = await hold(place, tmp_path)
    async with relayed(tmp_path) as place:
        through, through_again = await hold(place, tmp_path)

    assert plain.history == KEPT
    assert plain_again.history == SAID_AGAIN
    assert plain.errors
    assert through.asides_apart == plain.asides_apart
    assert through_again.asides_apart == plain_again.asides_apart

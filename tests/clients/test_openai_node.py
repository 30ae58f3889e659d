"""npm's `openai` from Node, unchanged: it speaks TLS alone, so it comes by way of nginx."""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.conversation import HISTORY, SAID_AGAIN, Place, direct_by_tls, relayed_by_tls
from tests.clients.seen import Seen, held
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("openai_node", "nginx")]
PROGRAM = Path(__file__).with_name("openai_node.mjs")


async def hold(place: Place, folder: Path) -> tuple[Seen, Seen]:
    node = str(require("node")), "--input-type=module", "-"
    return await held(Client(node, require("openai_node"), PROGRAM), place, folder)


async def test_the_same_history_as_without_the_relay(tmp_path: Path) -> None:
    async with direct_by_tls(tmp_path) as place:
        plain, plain_again = await hold(place, tmp_path)
    async with relayed_by_tls(tmp_path) as place:
        through, through_again = await hold(place, tmp_path)

    assert plain.history == HISTORY
    assert plain_again.history == SAID_AGAIN
    assert (through, through_again) == (plain, plain_again)

"""PyPI's `openai-agents`, unchanged; it truncates and calls tools by itself."""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.conversation import KEPT, SAID_AGAIN, Place, direct, relayed
from tests.clients.seen import Seen, held
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("openai_agents")]
PROGRAM = Path(__file__).with_name("agents_python.py")


async def hold(place: Place, folder: Path) -> tuple[Seen, Seen]:
    python = str(require("openai_agents")), "-"
    return await held(Client(python, folder, PROGRAM), place, folder)


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

"""The services door, called from Node with `axios` as the wespoke client calls it."""

from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.conversation import Place
from tests.components import needs, require
from tests.doors.services.test_whole_relay import own, services_door
from tests.scenarios.stage import token

pytestmark = [pytest.mark.clients, needs("node", "axios")]
PROGRAM = Path(__file__).with_name("axios_services.mjs")


async def test_S4_32_a_client_in_wespokes_style_works_unmodified(tmp_path: Path) -> None:
    node = str(require("node")), "--input-type=module", "-"
    async with services_door(tmp_path / "relay") as here:
        place = Place(own(here), token())
        seen = await Client(node, require("axios"), PROGRAM).talk(place, tmp_path)

    assert seen == {
        "text": "A mountain.",
        "userText": "What is a volcano?",
        "tools": [],
        "health": "healthy",
        "refused": {"status": 400, "error": "ValidationError"},
    }

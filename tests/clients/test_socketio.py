"""The Socket.IO door, with `socket.io-client` from Node, as the older voice chat used it."""

from pathlib import Path

import pytest

from relay.audio.wav import wav_of
from relay.parts.simple import Script
from tests.clients.client import Client
from tests.clients.conversation import Place
from tests.components import needs, require
from tests.doors.socketio.chatting import address, socketio_door
from tests.scenarios.stage import SPEECH, new_id, token

pytestmark = [pytest.mark.clients, needs("node", "socketio")]
PROGRAM = Path(__file__).with_name("socketio_chat.mjs")


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_S2_1_S2_6_S2_12_S2_33_the_client_works_unmodified(
    tmp_path: Path, transport: str
) -> None:
    node = str(require("node")), "--input-type=module", "-"
    script = Script(heard=["Are you there?"])
    async with socketio_door(tmp_path / "relay", script, relay_open_doors=()) as here:
        client = Client(node, require("socketio"), PROGRAM, wav_of(SPEECH))
        place = Place(address(here), token())
        seen = await client.talk(place, tmp_path, transport, new_id())

    assert seen == {
        "order": ["message-received", "ai-typing true", "ai-typing false", "ai-response"],
        "written": "You said: Good day.",
        "mp3": True,
        "spoken": "You said: Are you there?",
        "remembered": 4,
    }

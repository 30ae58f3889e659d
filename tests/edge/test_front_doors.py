"""The doors of older systems through a real nginx, as it is shipped."""

import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from relay.doors.socketio import door
from tests.components import needs
from tests.doors.services.test_whole_relay import SPEAK
from tests.doors.sessions.old_client import AUDIO
from tests.edge.front import in_front
from tests.golden.shapes import golden
from tests.scenarios.stage import token
from tests.scenarios.test_all_doors import ADA, all_doors

pytestmark = needs("nginx")


async def test_SX_1_all_doors_are_one_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PING_SECONDS", 1)  # a client that polls leaves with its last poll
    monkeypatch.setattr(door, "PONG_SECONDS", 2)
    async with (
        all_doors(tmp_path, relay_open_doors=()) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=front.trust), headers=ADA) as http,
    ):

        async def ask(path: str, body: Any = None) -> tuple[int, Any]:
            data = None if body is None else io.BytesIO(json.dumps(body).encode())
            async with http.request("POST" if data else "GET", front.url + path, data=data) as told:
                return told.status, await told.json()

        status, made = await ask("/api/session/create", {"sessionId": "one"})
        assert status == 200
        golden("sessions", "create", made)
        large = {"audioData": AUDIO, "unknown": "x" * 10_000_000}
        assert (await ask("/api/session/one/audio", large))[0] == 200
        assert (await ask("/api/system/capacity"))[0] == 200
        async with http.ws_connect(f"{front.url}/transcript/one") as reader:
            golden("sessions", "transcript connected", await reader.receive_json())
        assert (await ask("/ai/process-audio", SPEAK))[0] == 200
        assert (await ask("/openapi.json"))[0] == 200
        assert (await ask("/api/sessions"))[0] == 200, "the coach's API is where it was"
        for transport in ("websocket", "polling"):
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=front.trust)
            ) as own:
                client = socketio.AsyncSimpleClient(reconnection=False, http_session=own)
                await client.connect(
                    front.url, auth={"token": token()}, transports=[transport], wait_timeout=20
                )
                await client.emit("text-message", {"text": "Hello."})
                while (event := await client.receive(20))[0] != "ai-response":
                    pass
                assert event[1]["message"]["text"] == "You said: Hello."
                await client.disconnect()

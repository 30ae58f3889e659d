"""The coach's API and both kinds of feed through a real nginx, as it is shipped."""

import asyncio
import json
from pathlib import Path

import aiohttp

from tests.components import needs
from tests.edge.front import PATIENCE, in_front
from tests.scenarios.coaching import session_of, typed
from tests.scenarios.stage import stage, token

pytestmark = needs("nginx")
KEY = "openai-insecure-api-key."


async def test_both_feeds_pass_at_once_and_no_log_has_their_token(tmp_path: Path) -> None:
    """What is said is there before anything that a proxy might wait for."""
    secret = token("boss", "admin")
    bearer = {"Authorization": f"Bearer {secret}"}
    async with (
        stage(tmp_path) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
        here.openai_client("?relay=1") as line,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=front.trust)) as http,
    ):
        session_id = await session_of(line)
        listed = await front.get("/api/sessions", headers=bearer)
        assert [one["id"] for one in json.loads(listed.body)["sessions"]] == [session_id]
        path = f"/api/sessions/{session_id}/feed"
        url = f"{front.url}{path}?token={secret}"
        async with (
            front.call(path, subprotocols=["relay.v1", KEY + secret]) as socket,
            http.get(url, headers={"Accept": "text/event-stream"}) as events,
        ):
            assert socket.socket.subprotocol == "relay.v1"
            await socket.until("caught_up")
            await line.send(typed("Hello through nginx."))
            final = await socket.until("final")
            assert final["utterance"]["text"] == "Hello through nginx."
            async with asyncio.timeout(PATIENCE):
                while b"Hello through nginx." not in await events.content.readline():
                    pass
        async with front.call(path, subprotocols=[KEY + "nonsense"]) as refused:
            assert await refused.closed() == (4001, "Unauthorized")
        entries = await front.entries(3)
        assert {entry["path"] for entry in entries} == {"/api/sessions", path}
        for part in secret.split("."):
            assert part not in front.logged()

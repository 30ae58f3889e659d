"""The browser door's own messages, field by field (CONTRACTS §2.3)."""

import json
from pathlib import Path

from tests.golden.shapes import golden
from tests.scenarios.stage import live_sessions, stage


async def test_SX_5_S3_27_S3_44_its_own_events_are_as_they_were(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.s3_client() as client:
            await client.until("session.created")
            await client.socket.send("{no json")
            golden("browser", "error", await client.until("error"))
            await client.speak()
            golden("browser", "conversation.created", await client.until("conversation.created"))
            await client.until("response.done")
        golden("browser", "health", json.loads((await here.get("/health"))[1]))


async def test_SX_5_S3_12_a_lost_engine_is_a_string(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.s3_client() as client:
        await client.until("session.created")
        assert here.simulator is not None
        assert live_sessions(here.app)
        await here.simulator.aclose()
        golden("browser", "lost engine", await client.until("error"))

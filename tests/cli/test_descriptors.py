"""`relay serve` with few descriptors: calls go on, callers come in, and it says so once."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from relay.auth.tokens import mint
from relay.realtime.grant import Caller
from tests.cli.program import Program
from tests.cli.test_serve import SECRET, WHOLE
from tests.scenarios.stage import Line

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
SLOWEST = 1.0
"""Seconds of a round trip on a busy machine; it was 1.5 s on an idle one."""


def calling(ready: dict[str, Any], sub: str) -> connect:
    headers = {"Authorization": f"Bearer {mint(Caller(sub, 'learner', 4e9), SECRET, 1.0)}"}
    url = f"ws://127.0.0.1:{ready['port']}/v1/realtime"
    return connect(url, additional_headers=headers, compression=None, ping_interval=None)


async def round_trip(call: ClientConnection) -> float:
    """Seconds until a call's event is answered."""
    began = time.monotonic()
    await call.send(json.dumps({"type": "input_audio_buffer.clear"}))
    await Line(call).until("input_audio_buffer.cleared", within=PATIENCE)
    return time.monotonic() - began


async def idle_connections(port: int, count: int) -> list[asyncio.StreamWriter]:
    made = []
    for _ in range(count):
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                made.append((await asyncio.open_connection("127.0.0.1", port))[1])
    return made


@pytest.mark.parametrize("limit", [64, 256])
async def test_a_flood_leaves_descriptors_to_callers(tmp_path: Path, limit: int) -> None:
    hard = f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({limit}, {limit}))"
    (tmp_path / "sitecustomize.py").write_text(hard)
    settings = {**WHOLE, "DRAIN_TIMEOUT": "0.2", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with Program("serve", "--port", "0", cwd=tmp_path, **settings) as program:
        ready = await asyncio.to_thread(program.logged, "ready")
        async with calling(ready, "old") as old:
            await Line(old).until("session.created")
            for port in (ready["http_port"], ready["port"]):
                idle = await idle_connections(port, limit + 40)  # type: ignore[arg-type]
                trips = [await round_trip(old) for _ in range(20)]
                assert max(trips) < SLOWEST
                async with calling(ready, "new") as new:
                    await Line(new).until("session.created")
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"http://127.0.0.1:{ready['http_port']}/health") as health,
                ):
                    told = await health.json()
                    assert told["maxConnections"] < 1000, "fewer than MAX_CONNECTIONS"
                for writer in idle:
                    writer.close()
        lines = [json.loads(line) for line in program.stderr.splitlines()]
        warnings = [line["message"] for line in lines if line["level"] == "warning"]
        assert len([text for text in warnings if "open files" in text]) == 1
        assert len([text for text in warnings if text.startswith("accepting pauses")]) <= 2
        assert len(lines) < 30

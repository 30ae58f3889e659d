"""Autobahn's fuzzing client against an echo made of wire peers, without its compression cases."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from picows import WSMsgType

from relay.interfaces import Frame
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.server import ListenOptions
from tests.components import needs, require
from tests.websocket.ends import Stage

SECONDS = 120
"""The whole suite takes about twenty."""

ACCEPTABLE = {
    "OK",
    "NON-STRICT",  # a text right before garbage is lost; bad UTF-8 is found at the frame's end
    "INFORMATIONAL",  # the suite watches and has no opinion
}


class Echo:
    """Sends everything back."""

    def __init__(self, peer: WebSocketConnection) -> None:
        self.peer = peer

    def frame(self, frame: Frame) -> None:
        self.peer.send(frame)

    def writable(self, ready: bool) -> None:
        """What is echoed is small beside the buffers."""

    def closed(self, code: int, reason: str) -> None:
        """The fuzzing client opens the next."""


def echo_binary(peer: WebSocketConnection, frame: Frame) -> None:
    peer._transport.send(WSMsgType.BINARY, frame)


async def fuzz(port: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Run the suite; returns what it says of each case."""
    spec = folder / "spec.json"
    agent = {"agent": "relay", "url": f"ws://127.0.0.1:{port}"}
    cases = {"cases": ["*"], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {}}
    spec.write_text(json.dumps({"outdir": str(folder), "servers": [agent], **cases}))
    suite = await asyncio.create_subprocess_exec(
        require("autobahn"),
        *("-m", "fuzzingclient", "-s", spec),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
    )
    try:
        async with asyncio.timeout(SECONDS):
            _, errors = await suite.communicate()
    finally:
        if suite.returncode is None:
            suite.kill()
            await suite.wait()
    assert suite.returncode == 0, errors.decode()
    report: dict[str, dict[str, Any]] = json.loads((folder / "index.json").read_text())["relay"]
    return report


@needs("autobahn")
@pytest.mark.asyncio(loop_factories=["uvloop"])  # once is enough, on the loop of production
async def test_no_case_fails_and_no_close_code_is_wrong(stage: Stage, tmp_path: Path) -> None:
    options = ConnectionOptions(max_message_bytes=32 * 1024 * 1024, binary=echo_binary)
    listener = await stage.listen(ListenOptions(peer=options))

    async def echo_them_all() -> None:
        while True:
            peer, _ = await stage.arrivals.get()
            peer.attach(Echo(peer))

    async with asyncio.TaskGroup() as group:
        echoing = group.create_task(echo_them_all())
        report = await fuzz(listener.port, tmp_path)
        echoing.cancel()

    assert len(report) > 290
    assert {
        case: (row["behavior"], row["behaviorClose"])
        for case, row in report.items()
        if not {row["behavior"], row["behaviorClose"]} <= ACCEPTABLE
    } == {}

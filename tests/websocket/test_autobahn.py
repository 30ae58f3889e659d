"""Autobahn's fuzzing client against an echo server, without its compression cases."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from picows import WSMsgType

from relay.interfaces import Frame
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.server import ListenOptions, listen
from tests.components import needs, require
from tests.websocket import sansio_ends
from tests.websocket.sansio import SansioConnection

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


def echo_binary(connection: WebSocketConnection, frame: Frame) -> None:
    connection._transport.send(WSMsgType.BINARY, frame)


def echo_binary_sansio(connection: SansioConnection, frame: Frame) -> None:
    connection.protocol.send_binary(bytes(frame))
    connection._flush()


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


LIBRARIES: dict[str, tuple[Any, Any]] = {
    "picows": (listen, echo_binary),
    "sans-I/O": (sansio_ends.listen, echo_binary_sansio),
}
"""How each wire library listens, and how its connections echo binary messages."""


@needs("autobahn")
@pytest.mark.slow
@pytest.mark.asyncio(loop_factories=["uvloop"])  # once is enough, on the loop of production
@pytest.mark.parametrize("library", LIBRARIES)
async def test_no_case_fails_and_no_close_code_is_wrong(library: str, tmp_path: Path) -> None:
    listens, echo = LIBRARIES[library]
    options = ConnectionOptions(max_message_bytes=32 * 1024 * 1024, binary=echo)
    listener = await listens(
        lambda connection, _: connection.attach(Echo(connection)), ListenOptions(connection=options)
    )
    try:
        report = await fuzz(listener.port, tmp_path)
    finally:
        await listener.aclose()

    assert len(report) > 290
    assert {
        case: (row["behavior"], row["behaviorClose"])
        for case, row in report.items()
        if not {row["behavior"], row["behaviorClose"]} <= ACCEPTABLE
    } == {}

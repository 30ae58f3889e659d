"""An audio frame takes few Python calls: each is paid fifty times a second in every session."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.scenarios.by_hand import client, openai, provided

RELAY = str(Path(__file__).parents[2] / "relay") + "/"
APPEND = {"type": "input_audio_buffer.append", "audio": "AAAA" * 320}
DELTA = {"type": "response.output_audio.delta", "item_id": "A1", "delta": "AAAA" * 320}


class Calls:
    """The relay's functions that run while a connection handles one frame."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self._depth = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(RELAY):
            return
        entry = code.co_name == "on_ws_frame"
        if event == "call" and (entry or self._depth):
            self._depth += 1
            self.made.append((code.co_filename.removeprefix(RELAY), code.co_name))
        elif event == "return" and self._depth:
            self._depth -= 1

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.made}


@pytest.mark.parametrize(
    ("way", "calls", "files"), [("up", 5, 3), ("down", 13, 8)], ids=["up", "down"]
)
async def test_an_audio_frame_takes_few_calls_through_few_files(
    request: pytest.FixtureRequest, tmp_path: Path, way: str, calls: int, files: int
) -> None:
    if request.config.getoption("--sansio"):
        pytest.skip("the calls of the product's own wire library are counted, not another's")
    async with provided(tmp_path) as (here, provider), client(here, openai()) as end:
        await end.until("session.created")
        call = await provider.call()
        near, far, event = (end, call, APPEND) if way == "up" else (call, end, DELTA)
        for number in range(1, 4):
            near.send(event)
            await far.until(event["type"], number)
        seen = Calls()
        sys.setprofile(seen)
        try:
            near.send(event)
            await far.until(event["type"], 4)
        finally:
            sys.setprofile(None)

    entered, *made = seen.made

    assert entered == ("websocket/connection.py", "on_ws_frame")
    assert 0 < len(made) <= calls, made
    assert len(seen.files) <= files, seen.files

"""The simulated OpenAI as a program, whose ear reads words that are written in the sound.

`python -m tests.chaos.voice PORT`
"""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import TranscriptionRequest
from relay.parts.simple import Script, scripted_parts
from relay.simulator import SimulatorOptions, simulate

ANSWER = "Yes, "
"""Every answer begins so, and ends with what was said last."""
_WORDS = re.compile(rb"<([\w.]+)>")
_SPOKEN_BYTES = 19_200  # 0.4 s
_SILENCE = bytes(28_800)  # 0.6 s


def sound_of(words: str) -> bytes:
    """A loud noise that is the words' own bytes, and the silence that ends a turn."""
    one = f"<{words}>".encode()
    noise = one * (_SPOKEN_BYTES // len(one))
    return noise[: len(noise) // 2 * 2] + _SILENCE


class Reader:
    """A recogniser that reads them."""

    name = "reader"
    languages = ()

    async def prepare(self) -> None:
        """Start nothing."""

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        found = _WORDS.search(request.pcm)
        yield found[1].decode() if found else ""

    async def aclose(self) -> None:
        """Let go of nothing."""


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    scripted = scripted_parts(Script(replies=(ANSWER + "{heard}",)))
    options = SimulatorOptions(
        parts=replace(scripted, transcriber=Reader()),
        port=port,
        pace=Pace(burst=50.0, text_seconds=0.001),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await simulate(options):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

"""Somebody else's client, run as a program of its own by a user of it."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.conversation import SAID, Place

PATIENCE = 240.0
"""Seconds for a conversation, which takes ten, after its client's start: up to a hundred."""


@dataclass(frozen=True, slots=True)
class Client:
    """How to run it: a command, the folder where its packages are found, and the program.

    `source` is what a user of the client writes: it is read from standard input, gets a place to
    call and a turn to say (PCM16, 24 kHz), and prints what it has seen of the call as its last
    line.
    """

    command: tuple[str, ...]
    folder: Path
    source: Path
    turn: bytes = SAID

    async def talk(self, place: Place, scratch: Path, *more: str) -> Any:
        """Run it with `more` arguments; what it prints last, which is JSON."""
        said = scratch / "said.pcm"
        said.write_bytes(self.turn)
        certificate = {"NODE_EXTRA_CA_CERTS": str(place.certificate)} if place.certificate else {}
        client = await asyncio.create_subprocess_exec(
            *(*self.command, place.origin, place.key, str(said), *more),
            cwd=self.folder,
            env={**os.environ, **certificate},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        # Killed rather than awaited for ever: then what it has said of itself is shown.
        alarm = asyncio.get_running_loop().call_later(PATIENCE, client.kill)
        out, err = await client.communicate(self.source.read_bytes())
        alarm.cancel()
        assert client.returncode == 0, err.decode(errors="replace")[-6000:]
        return json.loads(out.splitlines()[-1])

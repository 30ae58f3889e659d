"""Calls through a relay in which every piece of sound is numbered and timed at both ends.

The engine and the learners share one process and its clock; the relay is a program between them.
"""

import asyncio
import base64
import json
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.benchmarks.frames import session_created, session_updated

RATE: Final = 24_000
FRAME: Final = 0.02
"""Seconds of microphone in one event, as the browser client sends them."""

PATIENCE: Final = 30.0
"""Seconds in which what was sent must have arrived."""


@dataclass(frozen=True, slots=True)
class Way:
    """How answers come: `piece` seconds of sound in an event, `burst` times faster than heard."""

    name: str
    agent: str
    piece: float
    burst: float


@dataclass(frozen=True, slots=True)
class Talk:
    """So many answers of `answer` seconds, a new one every `every` seconds."""

    answers: int
    answer: float = 5.0
    every: float = 6.5


@dataclass(slots=True)
class Answer:
    """One answer: when its first sound left the engine, and when each piece arrived."""

    sent: float = 0.0
    arrived: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    ended: float = 0.0
    sound: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Call:
    """What happened in one call; times are `time.monotonic`.

    `frames` are the microphone's: when each was sent, and when its number reached the engine.
    """

    way: Way
    talk: Talk
    answers: list[Answer] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)
    reached: list[tuple[int, float]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def heard_all(self) -> bool:
        """Whether every sample came down once and in order, and every frame went up so."""
        sound = numbered(self.talk.answer)
        up = [number for number, _ in self.reached]
        down = [bytes(answer.sound) for answer in self.answers]
        return up == list(range(len(self.frames))) and down == [sound] * self.talk.answers


@cache
def numbered(seconds: float) -> bytes:
    """Sound in which each sample says which one it is, within 1.25 s."""
    return array("h", (n % 30_000 + 1 for n in range(round(RATE * seconds)))).tobytes()


class Engine:
    """Speaks the Realtime API to the relay, and answers on a schedule of its own."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}  # by the name of the model that the learner asked for
        self.port = 0

    async def serve(self, relay: ServerConnection) -> None:
        """One session."""
        assert relay.request is not None
        call = self.calls[parse_qs(urlsplit(relay.request.path).query)["model"][0]]
        await relay.send(session_created().decode())
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(_speak(relay, call))
            with suppress(ConnectionClosed):
                async for message in relay:
                    await self._take(relay, call, json.loads(message))
            speaking.cancel()

    async def _take(self, relay: ServerConnection, call: Call, event: dict[str, Any]) -> None:
        if event["type"] == "input_audio_buffer.append":
            number = int.from_bytes(base64.b64decode(event["audio"])[:4], "little")
            call.reached.append((number, time.monotonic()))
            call.begun.set()
        elif event["type"] == "session.update":
            await relay.send(session_updated().decode())


@asynccontextmanager
async def engine() -> AsyncIterator[Engine]:
    """Listen on a port of loopback."""
    made = Engine()
    async with serve(made.serve, "127.0.0.1", 0, compression=None, max_size=None) as server:
        made.port = next(iter(server.sockets)).getsockname()[1]
        yield made


async def _speak(relay: ServerConnection, call: Call) -> None:
    """Say the answers, from the first sound of the microphone on."""
    sound, step = numbered(call.talk.answer), round(call.way.piece * RATE) * 2
    pieces = [base64.b64encode(sound[at : at + step]).decode() for at in range(0, len(sound), step)]
    await call.begun.wait()
    start = time.monotonic() + 0.5
    for number in range(call.talk.answers):
        await _until(start + number * call.talk.every)
        call.answers.append(Answer(sent=time.monotonic()))
        await _answer(relay, number, pieces, call.way.piece / call.way.burst)


async def _answer(relay: ServerConnection, number: int, pieces: list[str], step: float) -> None:
    item: dict[str, Any] = {
        "id": f"item_{number}",
        "type": "message",
        "role": "assistant",
        "content": [],
    }
    response = {"id": f"resp_{number}", "status": "in_progress", "output": []}
    part: dict[str, Any] = {"response_id": f"resp_{number}", "item_id": f"item_{number}"}
    part |= {"output_index": 0, "content_index": 0}

    async def say(kind: str, **fields: Any) -> None:
        await relay.send(json.dumps({"type": kind, "event_id": "event_stalls", **fields}))

    start = time.monotonic()
    await say("response.created", response=response)
    await say("response.output_item.added", response_id=f"resp_{number}", output_index=0, item=item)
    await say("conversation.item.added", previous_item_id=None, item=item)
    for place, piece in enumerate(pieces):
        await _until(start + place * step)
        await say("response.output_audio_transcript.delta", **part, delta=f" word{place}")
        await say("response.output_audio.delta", **part, delta=piece)
    await say("response.output_audio.done", **part)
    await say("response.output_audio_transcript.done", **part, transcript="words")
    item |= {"status": "completed", "content": [{"type": "output_audio", "transcript": "words"}]}
    await say("conversation.item.done", previous_item_id=None, item=item)
    await say("response.output_item.done", response_id=f"resp_{number}", output_index=0, item=item)
    await say("response.done", response=response | {"status": "completed", "output": [item]})


async def learner(url: str, token: str, call: Call) -> None:
    """Talk into the microphone and take what comes, until the last answer is complete."""
    spoken = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{token}")]
    async with (
        connect(url, subprotocols=spoken, compression=None, open_timeout=PATIENCE) as relay,
        asyncio.TaskGroup() as tasks,
    ):
        while json.loads(await relay.recv())["type"] != "session.created":
            pass
        listening = tasks.create_task(_listen(relay, call))
        await _record(relay, call)
        with suppress(TimeoutError):  # what is missing then, the call's record shows
            async with asyncio.timeout(PATIENCE):
                while len(call.reached) < len(call.frames):
                    await asyncio.sleep(FRAME)
        listening.cancel()


async def _record(relay: ClientConnection, call: Call) -> None:
    """Send the microphone's numbered frames in real time, as long as the call goes on."""
    start = time.monotonic()
    while not call.over.is_set():
        number = len(call.frames)
        await _until(start + number * FRAME)
        call.frames.append(time.monotonic())
        sound = base64.b64encode(number.to_bytes(4, "little") * 240).decode()
        await relay.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))


async def _listen(relay: ClientConnection, call: Call) -> None:
    async for message in relay:
        now = time.monotonic()
        event = json.loads(message)
        if event["type"] == "response.output_audio.delta":
            piece = base64.b64decode(event["delta"])
            answer = _answer_of(call, event)
            answer.sound += piece
            answer.arrived.append(now)
            answer.samples.append(len(piece) // 2)
        elif event["type"] == "response.output_audio.done":
            _answer_of(call, event).ended = now
            if len(call.answers) == call.talk.answers:
                call.over.set()


def _answer_of(call: Call, event: dict[str, Any]) -> Answer:
    return call.answers[int(event["item_id"].removeprefix("item_"))]


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))

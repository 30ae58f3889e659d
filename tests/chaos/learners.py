"""Learners who go on talking whatever happens, and remember what they said."""

import asyncio
import base64
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.chaos.programs import AGENT, Relay
from tests.chaos.voice import ANSWER, sound_of

LINES = 3
"""Typed before an answer is asked for."""
TURNS = (15, 60)
"""Of one call, then the learner hangs up."""
PAUSE = (0.7, 2.0)
"""Seconds between two turns."""
AWAY = (0.2, 2.0)
"""Seconds until somebody who was cut off calls again, each at their own moment."""
PATIENCE = 8.0
"""Seconds for a greeting or an answer; then the learner calls again."""
REFUSALS = 4
"""In a row; then the learner begins another conversation."""
_CHUNK = 4800
Event = dict[str, Any]
Watch = Callable[[int, str, str], Coroutine[Any, Any, None]]
"""Follow a learner's session of a conversation to its end."""


@dataclass
class Said:
    """What the voice took and answered, by its text: when that was, and in which session."""

    typed: dict[str, float] = field(default_factory=dict)
    spoken: dict[str, float] = field(default_factory=dict)
    answers: dict[str, float] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)


def user_of(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"learner {number}"))


class Learner:
    """One of them; every word of theirs begins with `L` and their number."""

    def __init__(self, number: int, token: str, relay: Relay, watch: Watch, said: Said) -> None:
        self.number = number
        self._headers = {"Authorization": f"Bearer {token}"}
        self._relay = relay
        self._watch = watch
        self._said = said
        self._chance = random.Random(number)
        self._speaks = number % 10 == 0
        self._conversation = ""
        self._refusals = self._calls = self._turns = 0

    async def live(self, stop: asyncio.Event) -> None:
        """Call, talk, call again."""
        async with asyncio.TaskGroup() as coaches:
            while not stop.is_set():
                try:
                    await self._call(coaches, stop)
                except (OSError, WebSocketException, TimeoutError):
                    self._said.calls["broken off"] += 1
                await asyncio.sleep(self._chance.uniform(*AWAY))

    async def _call(self, coaches: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        query = f"?relay=1&agent_id={AGENT}"
        if self._conversation:
            query += f"&conversation_id={self._conversation}"
        url = self._relay.voice_url + query
        options: dict[str, Any] = {"compression": None, "close_timeout": 1, "ping_interval": None}
        options["open_timeout"] = PATIENCE
        self._refusals += 1
        if self._refusals > REFUSALS:
            self._conversation = ""
        async with connect(url, additional_headers=self._headers, **options) as socket:
            hello = await _until(socket, "relay.session", self._heard)
            self._refusals = 0
            self._conversation = hello["conversation_id"]
            session = hello["session_id"]
            coaches.create_task(self._watch(self.number, session, self._conversation))
            self._calls += 1
            self._turns = 0
            self._said.calls["begun"] += 1
            if not self._speaks:
                await _send(socket, TEXT_ONLY)
            for _ in range(self._chance.randrange(*TURNS)):
                if stop.is_set():
                    break
                await self._turn(socket)
            self._said.calls["hung up"] += 1

    async def _turn(self, socket: ClientConnection) -> None:
        self._turns += 1
        if self._speaks:
            await _speak(socket, self._words("v"))
        else:
            for line in range(LINES):
                await _send(socket, typed(self._words(str(line))))
            await _send(socket, {"type": "response.create"})
        await _until(socket, "response.done", self._heard)
        await asyncio.sleep(self._chance.uniform(*PAUSE))

    def _words(self, line: str) -> str:
        return f"L{self.number:02}.{self._calls}.{self._turns}.{line}"

    def _heard(self, event: Event) -> None:
        """Note what the voice says that it has."""
        now = time.monotonic()
        kind = event["type"]
        if kind == "conversation.item.done" and event["item"].get("role") == "user":
            for part in event["item"]["content"]:
                if part["type"] == "input_text":
                    self._said.typed.setdefault(part["text"], now)
        elif kind == "conversation.item.input_audio_transcription.completed":
            self._said.spoken.setdefault(event["transcript"], now)
        elif kind == "response.output_text.done":
            self._said.answers.setdefault(event["text"].removeprefix(ANSWER), now)


TEXT_ONLY: Event = {
    "type": "session.update",
    "session": {"type": "realtime", "output_modalities": ["text"]},
}


def typed(text: str) -> Event:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "item": item}


async def _send(socket: ClientConnection, event: Event) -> None:
    await socket.send(json.dumps(event))


async def _speak(socket: ClientConnection, words: str) -> None:
    pcm = sound_of(words)
    for start in range(0, len(pcm), _CHUNK):
        audio = base64.b64encode(pcm[start : start + _CHUNK]).decode()
        await _send(socket, {"type": "input_audio_buffer.append", "audio": audio})


async def _until(socket: ClientConnection, kind: str, heard: Callable[[Event], None]) -> Event:
    async with asyncio.timeout(PATIENCE):
        while True:
            event: Event = json.loads(await socket.recv())
            heard(event)
            if event["type"] == kind:
                return event

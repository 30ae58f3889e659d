"""Coaches who follow every session, and remember each final that a feed showed them."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.chaos.programs import Relay

MESSAGES = (20, 200)
"""After which a coach leaves and comes back with the cursor."""
QUIET_SECONDS = 20.0
"""Without any message; then the coach looks anew."""


@dataclass(frozen=True, slots=True)
class Final:
    """What a feed showed of one utterance last."""

    seq: int
    session_id: str
    conversation_id: str
    learner: int
    role: str
    text: str
    heard_text: str
    position: float


@dataclass
class Screen:
    """What all coaches saw: utterances by id, and how often which message came."""

    finals: dict[str, Final] = field(default_factory=dict)
    messages: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def show(self, learner: int, conversation_id: str, message: dict[str, Any]) -> None:
        said = message["utterance"]
        known = self.finals.get(said["id"])
        if known is None or known.seq < said["seq"]:
            self.finals[said["id"]] = Final(
                said["seq"],
                said["session_id"],
                conversation_id,
                learner,
                said["role"],
                said["text"],
                said["heard_text"],
                said["position"],
            )


class Coaches:
    """`tokens` are those of several admins, since one may hold fifty feeds only."""

    def __init__(self, relay: Relay, tokens: Sequence[str]) -> None:
        self.screen = Screen()
        self._relay = relay
        self._tokens = tokens
        self._chance = random.Random(4)

    async def follow(self, learner: int, session_id: str, conversation_id: str) -> None:
        """Watch one session until it has ended, or is gone with its process."""
        life, cursor, is_over = self._relay.life, 0, False
        while not is_over and life == self._relay.life and self._relay.runs:
            url = f"{self._relay.http_url}/api/sessions/{session_id}/feed?since={cursor}"
            token = self._tokens[learner % len(self._tokens)]
            try:
                async with connect(
                    url.replace("http", "ws", 1),
                    additional_headers={"Authorization": f"Bearer {token}"},
                    compression=None,
                    close_timeout=1,
                ) as socket:
                    for _ in range(self._chance.randrange(*MESSAGES)):
                        async with asyncio.timeout(QUIET_SECONDS):
                            message = json.loads(await socket.recv())
                        kind = message["type"]
                        self.screen.messages[kind] += 1
                        if kind == "final":
                            cursor = message["seq"]
                            self.screen.show(learner, conversation_id, message)
                        elif kind == "error":
                            self.screen.faults.append(message["error"]["code"])
                            is_over = message["error"]["code"] == "not_found"
                        is_over = is_over or kind == "ended"
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(0.1)

"""Writes down what a coach says: a second conversation with the session's engine, which listens."""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog

from relay.interfaces import Connection, Engine, EngineRequest, Frame
from relay.realtime.endings import SessionRefused
from relay.realtime.events import APPEND, PCM_FORMAT, BadEvent, Event, decode, encode
from relay.tasks import Tasks

EARLY_BYTES: Final = 4 * 1024 * 1024  # a minute of speech that waits until the engine is there
MOST_TURNS: Final = 64  # whose words may come at once; the eldest are given up
_HEARD: Final = "conversation.item.input_audio_transcription."
log = structlog.get_logger(__name__)
Heard = Callable[[int, str | None], None]
"""Given a turn and its words, None where nobody understood them."""


class CoachTranscriber:
    """Asks for no answer, ever. That it fails is no reason to stop a voice: words are missing then.

    It is the engine's `Receiver`. `billed` is given every event that may say what was used.
    """

    def __init__(
        self, transcription: dict[str, Any], heard: Heard, billed: Callable[[Event], None]
    ):
        self._transcription = transcription
        self._tell = heard
        self._billed = billed
        self._peer: Connection | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._is_ready = False
        self._is_broken = False
        self._is_full = False
        self._waiting: deque[int] = deque()  # turns that the engine has not taken
        self._turns: dict[str, int] = {}  # turns by the item that they became
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._tasks = Tasks(lambda _, error: self._break(error))

    def open(self, engine: Engine, call: EngineRequest) -> None:
        """Reach for the engine; what is heard meanwhile waits."""
        self._tasks.run(self._reach(engine, call), "ear.open")

    async def _reach(self, engine: Engine, call: EngineRequest) -> None:
        self._peer = await engine.open(call)
        self._peer.attach(self)

    def hear(self, turn: int, pcm: bytes | None) -> None:
        """A piece of a turn, None when it is whole."""
        if pcm is not None:
            if not self._is_broken and not self._is_full:
                self._send({"type": APPEND, "audio": b64encode(pcm).decode()})
            return
        self._quiet.clear()
        if self._is_broken:
            asyncio.get_running_loop().call_soon(self._heard, turn, None)
            return
        self._waiting.append(turn)
        self._send({"type": "input_audio_buffer.commit", "event_id": _commit(turn)})
        if len(self._waiting) > MOST_TURNS:
            self._heard(self._waiting.popleft(), None)

    async def settle(self, seconds: float) -> None:
        """Wait until all that was said is written down, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("a coach's last words did not come")

    async def aclose(self) -> None:
        """Let go of the engine."""
        await self._tasks.aclose()
        if self._peer is not None:
            self._peer.close(1000, "Nobody speaks")
        self._break(None)

    def frame(self, frame: Frame) -> None:
        """One event of the engine's."""
        try:
            event = decode(frame)
            self._take(event)
        except BadEvent:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the ear, not the call
            self._break(error)

    def writable(self, ready: bool) -> None:
        """The engine reads too slowly: sound is dropped, for nobody waits for it."""
        self._is_full = not ready

    def closed(self, code: int, reason: str) -> None:
        """The engine is gone, by our wish or not."""
        self._break(None)

    def _take(self, event: Event) -> None:
        kind = event["type"]
        if kind == "session.created" and not self._is_ready:
            self._greeted()
        elif kind == "input_audio_buffer.committed" and self._waiting:
            self._turns[str(event.get("item_id"))] = self._waiting.popleft()
        elif kind == "error":
            fault = event.get("error")
            self._refused(fault.get("event_id") if isinstance(fault, dict) else None)
        elif kind.startswith(_HEARD) and kind.endswith(("completed", "failed")):
            self._understood(event)

    def _greeted(self) -> None:
        heard = {"format": PCM_FORMAT, "transcription": self._transcription, "turn_detection": None}
        session = {"type": "realtime", "output_modalities": ["text"], "audio": {"input": heard}}
        self._is_ready = True
        early, self._early = self._early, []
        for frame in (encode({"type": "session.update", "session": session}), *early):
            self._out(frame)

    def _understood(self, event: Event) -> None:
        item_id = str(event.get("item_id"))
        self._billed({**event, "item_id": f"ear_{item_id}"})
        if event.get("status", "completed") != "completed" or item_id not in self._turns:
            return
        text = event.get("transcript") if event["type"].endswith("completed") else None
        self._heard(self._turns.pop(item_id), text if isinstance(text, str) else None)

    def _refused(self, event_id: Any) -> None:
        """An error: where it is about a turn, that one has no words."""
        for turn in list(self._waiting):
            if event_id == _commit(turn):
                self._waiting.remove(turn)
                self._heard(turn, None)

    def _heard(self, turn: int, text: str | None) -> None:
        if not self._waiting and not self._turns:
            self._quiet.set()
        self._tell(turn, text)

    def _send(self, event: Event) -> None:
        frame = encode(event)
        if self._is_ready:
            self._out(frame)
        elif self._early_bytes < EARLY_BYTES:
            self._early.append(frame)
            self._early_bytes += len(frame)

    def _out(self, frame: bytes) -> None:
        if self._peer is not None:
            self._peer.send(frame)

    def _break(self, error: BaseException | None) -> None:
        """There will be no more words."""
        if self._is_broken:
            return
        self._is_broken = True
        if error is not None:
            why = error.ending.name if isinstance(error, SessionRefused) else type(error).__name__
            log.warning("a coach's words are not written down", error=why)
        lost = [*self._turns.values(), *self._waiting]
        self._turns.clear()
        self._waiting.clear()
        self._early.clear()
        self._quiet.set()
        for turn in lost:
            self._tell(turn, None)


def _commit(turn: int) -> str:
    return f"coach_turn_{turn}"

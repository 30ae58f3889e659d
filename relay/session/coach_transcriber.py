"""Transcribes a coach's speech in a second engine session, which never answers."""

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

EARLY_BYTES: Final = 4 * 1024 * 1024
"""Frames that wait until the engine is ready: a minute of speech."""
MAX_TURNS: Final = 64
"""Turns that wait for the engine to take them; the eldest stay without a transcript."""
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."

Transcribed = Callable[[int, str | None], None]
"""Given a turn and its transcript, None if there is none."""

log = structlog.get_logger(__name__)


class CoachTranscriber:
    """The `Receiver` of its engine session.

    A fault here never stops a coach's voice: transcripts are missing then. `billed` is given
    every event that may report usage.
    """

    def __init__(
        self,
        transcription: dict[str, Any],
        transcribed: Transcribed,
        billed: Callable[[Event], None],
    ) -> None:
        self._transcription = transcription
        self._report = transcribed
        self._billed = billed
        self._connection: Connection | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._is_ready = False
        self._is_broken = False
        self._is_full = False
        self._waiting: deque[int] = deque()  # turns that the engine has not taken
        self._turns: dict[str, int] = {}  # turns by the item that they became
        self._settled = asyncio.Event()
        self._settled.set()
        self._tasks = Tasks(lambda _, error: self._break(error))

    def open(self, engine: Engine, request: EngineRequest) -> None:
        """Open the engine session; audio that comes meanwhile waits."""
        if engine.capabilities.input_transcription:
            self._tasks.run(self._open(engine, request), "coach_transcriber.open")
        else:
            self._is_broken = True

    async def _open(self, engine: Engine, request: EngineRequest) -> None:
        self._connection = await engine.open(request)
        self._connection.attach(self)

    def take_audio(self, turn: int, pcm: bytes | None) -> None:
        """Take a piece of a turn; None ends the turn."""
        if pcm is not None:
            if not self._is_broken and not self._is_full:
                self._send({"type": APPEND, "audio": b64encode(pcm).decode()})
            return
        self._settled.clear()
        if self._is_broken:
            asyncio.get_running_loop().call_soon(self._finish_turn, turn, None)
            return
        self._waiting.append(turn)
        self._send({"type": "input_audio_buffer.commit", "event_id": _commit_id(turn)})
        if len(self._waiting) > MAX_TURNS:
            self._finish_turn(self._waiting.popleft(), None)

    async def settle(self, seconds: float) -> None:
        """Wait until every turn has its transcript, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            log.warning("no transcript of the coach's last turn")

    async def aclose(self) -> None:
        """Close the engine session."""
        await self._tasks.aclose()
        if self._connection is not None:
            self._connection.close(1000, "Nobody speaks")
        self._break(None)

    def frame(self, frame: Frame) -> None:
        """Take one event of the engine's."""
        try:
            event = decode(frame)
            self._take(event)
        except BadEvent:
            return
        except Exception as error:  # noqa: BLE001 - it ends the transcripts, not the session
            self._break(error)

    def writable(self, ready: bool) -> None:
        """An engine that reads too slowly: audio is dropped, since nothing waits for it."""
        self._is_full = not ready

    def closed(self, code: int, reason: str) -> None:
        """The engine session has ended, by either side."""
        self._break(None)

    def _take(self, event: Event) -> None:
        kind = event["type"]
        if kind == "session.created" and not self._is_ready:
            self._start()
        elif kind == "input_audio_buffer.committed" and self._waiting:
            self._turns[str(event.get("item_id"))] = self._waiting.popleft()
        elif kind == "error":
            fault = event.get("error")
            self._commit_refused(fault.get("event_id") if isinstance(fault, dict) else None)
        elif kind.startswith(_TRANSCRIPTION) and kind.endswith(("completed", "failed")):
            self._transcribed(event)

    def _start(self) -> None:
        audio = {"format": PCM_FORMAT, "transcription": self._transcription, "turn_detection": None}
        session = {"type": "realtime", "output_modalities": ["text"], "audio": {"input": audio}}
        self._is_ready = True
        early, self._early = self._early, []
        for frame in (encode({"type": "session.update", "session": session}), *early):
            self._send_frame(frame)

    def _transcribed(self, event: Event) -> None:
        item_id = str(event.get("item_id"))
        self._billed({**event, "item_id": f"ear_{item_id}"})
        if event.get("status", "completed") != "completed" or item_id not in self._turns:
            return
        text = event.get("transcript") if event["type"].endswith("completed") else None
        self._finish_turn(self._turns.pop(item_id), text if isinstance(text, str) else None)

    def _commit_refused(self, event_id: Any) -> None:
        """An error: where it answers the commit of a turn, that one has no transcript."""
        for turn in list(self._waiting):
            if event_id == _commit_id(turn):
                self._waiting.remove(turn)
                self._finish_turn(turn, None)

    def _finish_turn(self, turn: int, text: str | None) -> None:
        if not self._waiting and not self._turns:
            self._settled.set()
        self._report(turn, text)

    def _send(self, event: Event) -> None:
        frame = encode(event)
        if self._is_ready:
            self._send_frame(frame)
        elif self._early_bytes < EARLY_BYTES:
            self._early.append(frame)
            self._early_bytes += len(frame)

    def _send_frame(self, frame: bytes) -> None:
        if self._connection is not None:
            self._connection.send(frame)

    def _break(self, error: BaseException | None) -> None:
        """Stop transcribing: the turns that wait get no transcript."""
        if self._is_broken:
            return
        self._is_broken = True
        if error is not None:
            why = error.ending.name if isinstance(error, SessionRefused) else type(error).__name__
            log.warning("coach transcription failed", error=why)
        lost = [*self._turns.values(), *self._waiting]
        self._turns.clear()
        self._waiting.clear()
        self._early.clear()
        self._settled.set()
        for turn in lost:
            self._report(turn, None)


def _commit_id(turn: int) -> str:
    return f"coach_turn_{turn}"

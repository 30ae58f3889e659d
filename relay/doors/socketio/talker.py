"""One Socket.IO client: gathers what it says, answers a turn at a time, and can be interrupted."""

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog

from relay.audio.decoding import AudioDecoder, AudioRejected
from relay.calls.turns import Answer, TurnClient, TurnFailed
from relay.parts.interfaces import PartFailed
from relay.realtime.endings import Ending, SessionRefused
from relay.tasks import Tasks, where

MAX_AUDIO: Final = 34 * 1024 * 1024
"""Bytes of one utterance, as they come, and of all that wait for their turn."""
MAX_TEXT: Final = 20_000
"""Characters of one message."""
MAX_WAITING: Final = 64
"""Turns of one client that wait; one more is refused with an `error`."""
MAX_SOUND: Final = 48_000 * 300
"""Bytes of PCM16 of one answer: five minutes."""

FAILED_STREAM: Final = "Failed to process audio stream"
FAILED_TEXT: Final = "Failed to process text message"
FAILED_TRANSCRIPT: Final = "Failed to transcribe audio"
FAILED_AUDIO: Final = "Failed to process audio"
FAILED_ANSWER: Final = "Failed to get AI response"
FAILED_SPEECH: Final = "Failed to synthesize the answer"
NOTHING: Final = "Nothing was said"
PAUSED: Final = "A coach has paused the assistant"

Json = dict[str, Any]
Emit = Callable[[str, Json], Awaitable[None]]
OpenCall = Callable[["Talker"], Awaitable[TurnClient]]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WaitingTurn:
    """What waits for its turn: words, sound, or an answer that nobody asked for."""

    kind: Literal["text", "audio", "unasked"]
    text: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class TalkManner:
    """Seconds until an answer must have begun, and whether `speech-result` is told."""

    timeout: float = 30.0
    tells_speech: bool = False


def now_ms() -> int:
    """Unix milliseconds, as its clients write times."""
    return time.time_ns() // 1_000_000


class Talker:
    """A client's state; `emit` sends it an event, `open_call` opens its session.

    The session begins with the first words, and anew after one of its limits has ended it. It is
    the session's listener.
    """

    def __init__(
        self,
        emit: Emit,
        open_call: OpenCall,
        decoder: AudioDecoder,
        tasks: Tasks,
        manner: TalkManner,
    ) -> None:
        self._emit = emit
        self._open_call = open_call
        self._decoder = decoder
        self._tasks = tasks
        self._timeout = manner.timeout
        self._tells_speech = manner.tells_speech
        self._waiting: asyncio.Queue[WaitingTurn] = asyncio.Queue(MAX_WAITING)
        self._buffer = bytearray()
        self._bytes = 0  # of what waits
        self._call: TurnClient | None = None
        self._version = 0
        self._is_typing = False
        self._asked = False
        self._limit: asyncio.Timeout | None = None
        self._sound: OrderedDict[str, bytearray] = OrderedDict()
        self._playing: tuple[float, float] = (0.0, 0.0)  # when it began, and its seconds
        self._last_id = 0
        self._understood = ""
        self.history: list[Json] = []

    # ------------------------------------------------------------------ the client's events

    def start_recording(self) -> None:
        """Forget what was recorded."""
        self._buffer.clear()

    async def take_audio(self, data: Any) -> None:
        """Add sound: an ArrayBuffer, or {audioChunk, isFinal, timestamp} (S2-4, S2-5)."""
        chunk, is_final = data, False
        if isinstance(data, dict):
            chunk, is_final = data.get("audioChunk", b""), bool(data.get("isFinal"))
        if not isinstance(chunk, bytes | bytearray):
            await self.fail(FAILED_STREAM)
            return
        if len(self._buffer) + len(chunk) > MAX_AUDIO:
            self._buffer.clear()
            await self.fail(f"{FAILED_STREAM}: at most 34 MB between start and end")
            return
        self._buffer += chunk
        if is_final:
            await self.stop_recording()

    async def stop_recording(self) -> None:
        """The utterance is whole; nothing where nothing was recorded (S2-7)."""
        data = bytes(self._buffer)
        self._buffer.clear()
        if data:
            await self._queue(WaitingTurn("audio", data=data), FAILED_STREAM)

    async def take_text(self, data: Any) -> None:
        """Take a written message."""
        text = data.get("text") if isinstance(data, dict) else None
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            await self.fail(FAILED_TEXT)
            return
        await self._queue(WaitingTurn("text", text=text.strip()), FAILED_TEXT)

    async def interrupt(self) -> None:
        """Drop the answer that is being made, or what is left to be heard of the last one."""
        self._version += 1
        began, seconds = self._playing
        heard = time.monotonic() - began
        if self._call is not None and (self._asked or heard < seconds):
            self._call.interrupt(0 if self._asked else round(heard * 1000))
        self._playing = (0.0, 0.0)
        await self._typing(False, always=True)

    async def send_history(self) -> None:
        """Tell the conversation so far (S2-32)."""
        await self._emit("conversation-update", {"messages": list(self.history)})

    async def fail(self, text: str) -> None:
        """Tell of an error."""
        await self._emit("error", {"message": text})

    async def close(self) -> None:
        """End the session."""
        if self._call is not None:
            await self._call.close()

    # ------------------------------------------------------------------------------- turns

    async def run(self) -> None:
        """Answer what waits, a whole turn after another, until cancelled."""
        while True:
            said = await self._waiting.get()
            self._bytes -= len(said.data)
            try:
                await self._turn(said)
            except Exception as fault:  # noqa: BLE001 - one turn's fault: the next is answered
                log.warning("turn failed", error=where(fault))
                await self._typing(False)
                await self.fail(FAILED_AUDIO if said.kind == "audio" else FAILED_TEXT)

    async def _queue(self, said: WaitingTurn, failed: str) -> None:
        if self._waiting.full() or self._bytes + len(said.data) > MAX_AUDIO:
            await self.fail(failed)
            return
        self._bytes += len(said.data)
        self._waiting.put_nowait(said)

    async def _turn(self, said: WaitingTurn) -> None:
        if said.kind == "unasked":
            await self._speak(said.text, said.data, self._version)
            return
        version = self._version
        try:
            text = await self._heard(said)
        except (SessionRefused, TurnFailed, AudioRejected, PartFailed) as failed:
            await self._tell_failure(said, failed)
            return
        if not text:
            await self._emit("processing-complete", {"message": NOTHING, "timestamp": now_ms()})
            return
        message = self._message(text, "user", is_voice=said.kind == "audio")
        await self._emit("message-received", {"message": message, "timestamp": now_ms()})
        if version == self._version:
            await self._answer(version)

    async def _heard(self, said: WaitingTurn) -> str:
        """What was said, which the model then knows; "" for nothing."""
        if said.kind == "text":
            if said.text:
                await (await self._session()).say(said.text)
            return said.text
        pcm = await self._decoder.decode(said.data)
        call = await self._session()
        self._understood = ""
        text = await call.hear(pcm)
        if text and self._tells_speech:
            await self._tell_speech(text, is_final=True)
        return text

    async def _tell_failure(self, said: WaitingTurn, failed: Exception) -> None:
        if isinstance(failed, SessionRefused):
            text = failed.ending.advice
        elif said.kind == "text":
            text = FAILED_TEXT
        else:
            text = FAILED_TRANSCRIPT if isinstance(failed, TurnFailed) else FAILED_AUDIO
        await self.fail(text)

    async def _answer(self, version: int) -> None:
        call = await self._session()
        await self._typing(True)
        self._asked = True
        try:
            async with asyncio.timeout(self._timeout) as self._limit:
                answer = await call.respond()
        except (TurnFailed, TimeoutError):
            answer = Answer("", "", "failed")
        finally:
            self._asked, self._limit = False, None
        if version != self._version:
            return
        if answer.status == "failed":
            call.interrupt()
            await self._typing(False)
            await self.fail(FAILED_ANSWER)
        elif answer.status == "cancelled":  # a coach has the floor
            await self._typing(False)
            await self._emit("processing-complete", {"message": PAUSED, "timestamp": now_ms()})
        else:
            sound = bytes(self._sound.pop(answer.response_id, b""))
            await self._speak(answer.text, sound, version)

    async def _speak(self, text: str, sound: bytes, version: int) -> None:
        """Send an answer with its sound as MP3, unless it was interrupted meanwhile."""
        mp3 = b""
        if sound:
            try:
                mp3 = await self._decoder.encode_mp3(sound)
            except (AudioRejected, PartFailed) as failed:
                log.warning("answer not encoded", error=str(failed))
        if version != self._version:
            return
        await self._typing(False)
        message = self._message(text, "ai", is_voice=False)
        audio = base64.b64encode(mp3).decode()
        self._playing = (time.monotonic(), len(sound) / 48_000)
        await self._emit(
            "ai-response", {"message": message, "audioBuffer": audio, "timestamp": now_ms()}
        )
        if self._call is not None:  # the client has all of it, and plays it unless it interrupts
            self._call.played(len(sound) // 48)
        if not mp3:
            await self.fail(FAILED_SPEECH)

    async def _session(self) -> TurnClient:
        if self._call is None:
            self._call = await self._open_call(self)
        return self._call

    async def _typing(self, is_typing: bool, *, always: bool = False) -> None:
        if is_typing != self._is_typing or always:
            self._is_typing = is_typing
            await self._emit("ai-typing", {"isTyping": is_typing, "timestamp": now_ms()})

    async def _tell_speech(self, text: str, *, is_final: bool) -> None:
        told = {"text": text, "confidence": None, "isFinal": is_final, "timestamp": now_ms()}
        await self._emit("speech-result", told)

    def _message(self, text: str, sender: str, *, is_voice: bool) -> Json:
        self._last_id = max(now_ms(), self._last_id + 1)
        message = {
            "id": str(self._last_id),
            "text": text,
            "sender": sender,
            "timestamp": now_ms(),
            "isVoice": is_voice,
        }
        self.history = [*self.history, message][-MAX_WAITING:]
        return message

    # ------------------------------------------------------------------ the call's listener

    def heard_text(self, delta: str) -> None:
        """Tell it, where the client asked for that."""
        self._understood += delta
        if self._tells_speech:
            self._tasks.run(self._tell_speech(self._understood, is_final=False), "socketio.speech")

    def answer_text(self, response_id: str, delta: str) -> None:
        """The answer has begun in time."""
        if self._limit is not None and self._limit.when() is not None:
            self._limit.reschedule(None)

    def answer_audio(self, response_id: str, pcm: bytes) -> None:
        """Gather it."""
        sound = self._sound.setdefault(response_id, bytearray())
        if len(sound) < MAX_SOUND:
            sound += pcm
        while len(self._sound) > 4:  # of answers that were interrupted
            self._sound.popitem(last=False)

    def answer_done(self, answer: Answer) -> None:
        """Queue what nobody asked for: a coach's own words, or what one had said."""
        if answer.text and (answer.from_coach or not self._asked):
            sound = bytes(self._sound.pop(answer.response_id, b""))
            if not self._waiting.full():
                self._bytes += len(sound)
                self._waiting.put_nowait(WaitingTurn("unasked", answer.text, sound))

    def paused(self, is_paused: bool) -> None:
        """Nothing: who asks is told."""

    def flushed(self) -> None:
        """What plays at the client cannot be taken back."""

    def ended(self, ending: Ending) -> None:
        """The next words begin another session."""
        self._call = None
        self._sound.clear()


def earlier_messages(said: Sequence[Any]) -> list[Json]:
    """The utterances of a conversation as its clients write messages."""
    messages = []
    for record in said:
        one = record.utterance
        text = one.text if one.role == "user" else one.heard_text
        if text:
            message = {
                "id": str(one.item_id),
                "text": text,
                "sender": "user" if one.role == "user" else "ai",
                "timestamp": int(one.created_at * 1000),
                "isVoice": one.role == "user",
            }
            messages.append(message)
    return messages

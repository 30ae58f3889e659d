"""Speaks a recording to a relay in real time and hears the answer."""

import asyncio
import base64
import binascii
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.frames import Close
from websockets.typing import Subprotocol

from relay.realtime.events import BadEvent, Event, decode
from relay.talk.wav import RATE

CHUNK_MS: Final = 40
CHUNK_BYTES: Final = RATE * 2 * CHUNK_MS // 1000
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # what a subprotocol may hold


class TalkFailed(Exception):  # noqa: N818 - one line for the user
    """The conversation did not come about; the text says what to do."""


@dataclass(frozen=True, slots=True)
class TalkTimeouts:
    """Seconds that an answer may take to begin or to go on, and of quiet that end it all."""

    answer_seconds: float = 20.0
    quiet_seconds: float = 1.5


@dataclass(slots=True)
class HeardReply:
    """What came back."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    errors: list[str] = field(default_factory=list)
    first_audio_ms: int | None = None


Say = Callable[[str, str], None]
"""Called with the speaker ("you", "voice", "error") and each line as it comes."""


class VoiceClient:
    """One conversation: `run` sends every chunk, then silence until the answer is over."""

    def __init__(self, say: Say, patience: TalkTimeouts | None = None) -> None:
        self._say = say
        self._patience = patience or TalkTimeouts()
        self.heard = HeardReply()
        self._answering = False
        self._answers = 0
        self._stopped_at: float | None = None
        self._moved = 0.0

    async def run(self, url: str, token: str, chunks: AsyncIterator[bytes]) -> HeardReply:
        """Talk to the relay at `url`; raises TalkFailed with a line for the user."""
        if not _TOKEN.fullmatch(token):
            raise TalkFailed("that is no token; `relay token` makes one")
        protocols = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{token}")]
        try:
            async with (
                connect(url, subprotocols=protocols, compression=None, max_size=2**24) as socket,
                asyncio.TaskGroup() as group,
            ):
                hearing = group.create_task(self._hear(socket), name="talk.hear")
                await self._speak(socket, chunks)
                hearing.cancel()
        except* (TalkFailed, WebSocketException, OSError, ValueError) as group:
            raise TalkFailed(_why(url, group)) from None
        return self.heard

    async def _speak(self, socket: ClientConnection, chunks: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._moved = due = loop.time()
        async for chunk in chunks:
            await self._append(socket, chunk)
            due += len(chunk) / (2 * RATE)
            await asyncio.sleep(max(0.0, due - loop.time()))
        self._moved = loop.time()
        while not self._over(loop.time()):
            await self._append(socket, bytes(CHUNK_BYTES))
            due += CHUNK_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _append(self, socket: ClientConnection, pcm: bytes) -> None:
        audio = base64.b64encode(pcm).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    def _over(self, now: float) -> bool:
        quiet = now - self._moved
        if self._answering or not self._answers:
            return quiet > self._patience.answer_seconds
        return quiet > self._patience.quiet_seconds

    async def _hear(self, socket: ClientConnection) -> None:
        async for message in socket:
            try:
                event = decode(message.encode() if isinstance(message, str) else message)
                if event["type"] != "rate_limits.updated":
                    self._moved = asyncio.get_running_loop().time()
                self._take(event["type"], event)
            except (BadEvent, binascii.Error):
                raise TalkFailed("what answers there does not speak the Realtime API") from None

    def _take(self, kind: str, event: Event) -> None:
        if kind == "response.output_audio.delta":
            self._time_to_audio()
            self.heard.audio += base64.b64decode(str(event.get("delta", "")))
        elif kind == "input_audio_buffer.speech_stopped":
            self._stopped_at = self._moved
        elif kind == "conversation.item.input_audio_transcription.completed":
            self._line("you", event.get("transcript"))
        elif kind in ("response.output_audio_transcript.done", "response.output_text.done"):
            self._line("voice", event.get("transcript") or event.get("text"))
        elif kind == "response.created":
            self._answering = True
        elif kind == "response.done":
            self._answering = False
            self._answers += 1
        elif kind == "error":
            self._error(event.get("error"))

    def _time_to_audio(self) -> None:
        if self.heard.first_audio_ms is None and self._stopped_at is not None:
            self.heard.first_audio_ms = round((self._moved - self._stopped_at) * 1000)

    def _line(self, speaker: str, text: object) -> None:
        said = text.strip() if isinstance(text, str) else ""
        if said:
            self.heard.lines.append((speaker, said))
            self._say(speaker, said)

    def _error(self, error: Any) -> None:
        message = str(error.get("message")) if isinstance(error, dict) else str(error)
        self.heard.errors.append(message)
        self._say("error", message)


def _why(url: str, failed: BaseException) -> str:
    """The line for the user: of the first failure, where several came together."""
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    match failed:
        case TalkFailed():
            return str(failed)
        case ConnectionClosed(rcvd=None):
            return "the connection was lost"
        case ConnectionClosed(rcvd=Close(code=code, reason=reason)):
            return f"the relay closed the session: {code} {reason}".rstrip()
        case InvalidURI() | ValueError():
            return f"{url} is no ws:// or wss:// address"
        case _:
            return f"cannot reach {url}: {failed}. Is it running?"


async def chunks_of(pcm: bytes) -> AsyncIterator[bytes]:
    """A recording in pieces as a browser sends them."""
    for start in range(0, len(pcm), CHUNK_BYTES):
        yield pcm[start : start + CHUNK_BYTES]


# ---- The microphone of this machine, where there is one.

QUEUED_CHUNKS: Final = 250
"""Ten seconds; a slow network loses the oldest."""
NONE: Final = "no microphone here: give a WAV file instead of -"


async def microphone() -> AsyncIterator[bytes]:
    """Chunks of PCM16 24 kHz mono until cancelled; raises TalkFailed where there is none."""
    try:
        import sounddevice  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with the `voice` extra, and needs PortAudio
    except (ImportError, OSError):
        raise TalkFailed(NONE) from None
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_CHUNKS)

    def put(chunk: bytes) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(chunk)

    def heard(data: Any, *_: Any) -> None:
        loop.call_soon_threadsafe(put, bytes(data))

    with contextlib.ExitStack() as open_stream:
        try:
            stream = sounddevice.RawInputStream(
                samplerate=RATE,
                channels=1,
                dtype="int16",
                blocksize=CHUNK_BYTES // 2,
                callback=heard,
            )
            open_stream.enter_context(stream)
        except sounddevice.PortAudioError:
            raise TalkFailed(NONE) from None
        while True:
            yield await queue.get()

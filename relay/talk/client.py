"""Sends a recording or the microphone to a relay in real time and collects the answer."""

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

from relay.egress import way_out
from relay.realtime.events import BadEvent, Event, decode
from relay.talk.loudspeaker import Player, Silence
from relay.talk.wav import RATE
from relay.websocket.tunnel import ProxyRefusal, open_way

CHUNK_MS: Final = 40
CHUNK_BYTES: Final = RATE * 2 * CHUNK_MS // 1000
QUEUED_CHUNKS: Final = 250
"""Ten seconds of the microphone; beyond that a slow network loses the oldest."""
HEARD_SECONDS: Final = 0.5
"""After the last sound: a relay that reckons what was heard adds a player's delay to it."""
NO_MICROPHONE: Final = "no microphone here: give a WAV file instead of -"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""The characters that a subprotocol may hold."""


class TalkFailed(Exception):  # noqa: N818 - one line for the user
    """There was no conversation, or it broke off; the text says what to do."""


@dataclass(frozen=True, slots=True)
class TalkTimeouts:
    """Seconds without any event that end a conversation, before an answer is done and after.

    An answer that is done is also heard out.
    """

    answer_seconds: float = 20.0
    quiet_seconds: float = 1.5


@dataclass(slots=True)
class HeardReply:
    """Everything that came back.

    `lines` are pairs of speaker ("you", "voice") and text, `audio` is PCM16 mono at 24 kHz,
    `first_audio_ms` counts from the end of speech. `failure` is why the last answer that failed
    did, "" where none did.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    errors: list[str] = field(default_factory=list)
    first_audio_ms: int | None = None
    failure: str = ""


Say = Callable[[str, str], None]
"""Called with the speaker ("you", "voice" or "error") and the text of each line as it comes."""


class VoiceClient:
    """One conversation: `run` sends every chunk, then silence until the answer has been heard."""

    def __init__(
        self, say: Say, timeouts: TalkTimeouts | None = None, player: Player | None = None
    ) -> None:
        self._say = say
        self._timeouts = timeouts or TalkTimeouts()
        self._player = player or Silence()
        self.heard = HeardReply()
        self._answering = False
        self._answers = 0
        self._stopped_at: float | None = None
        self._last_activity = 0.0
        self._heard_at = 0.0  # when all that came so far has been heard, if it is played at once

    async def run(self, url: str, token: str, chunks: AsyncIterator[bytes]) -> HeardReply:
        """Talk to the relay at `url`; raises TalkFailed with a line for the user."""
        if not _TOKEN.fullmatch(token):
            raise TalkFailed("invalid token; create one with `relay token`")
        names = "realtime", "relay.v1", f"openai-insecure-api-key.{token}"  # the second: show words
        options: dict[str, Any] = {
            "subprotocols": [Subprotocol(name) for name in names],
            "compression": None,
            "max_size": 2**24,
            "ssl": way_out().tls() if url.startswith("wss:") else None,
        }
        try:
            async with (
                open_way(url) as way,
                connect(url, **options, proxy=None, sock=way) as socket,
                asyncio.TaskGroup() as group,
            ):
                receiving = group.create_task(self._receive(socket), name="talk.receive")
                await self._send(socket, chunks)
                receiving.cancel()
        except* (TalkFailed, WebSocketException, ProxyRefusal, OSError, ValueError) as failures:
            raise TalkFailed(_failure(url, failures)) from None
        return self.heard

    async def _send(self, socket: ClientConnection, chunks: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._last_activity = due = loop.time()
        async for chunk in chunks:
            await self._append(socket, chunk)
            due += len(chunk) / (2 * RATE)
            await asyncio.sleep(max(0.0, due - loop.time()))
        self._last_activity = loop.time()
        while not self._is_over(loop.time()):
            await self._append(socket, bytes(CHUNK_BYTES))
            due += CHUNK_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _append(self, socket: ClientConnection, pcm: bytes) -> None:
        audio = base64.b64encode(pcm).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    def _is_over(self, now: float) -> bool:
        quiet = now - self._last_activity
        if self._answering or not self._answers:
            return quiet > self._timeouts.answer_seconds
        return quiet > self._timeouts.quiet_seconds and now > self._heard_at

    async def _receive(self, socket: ClientConnection) -> None:
        async for message in socket:
            try:
                event = decode(message.encode() if isinstance(message, str) else message)
                if event["type"] != "rate_limits.updated":
                    self._last_activity = asyncio.get_running_loop().time()
                self._handle(event["type"], event)
            except (BadEvent, binascii.Error):
                raise TalkFailed("the server there does not speak the Realtime API") from None

    def _handle(self, kind: str, event: Event) -> None:
        if kind == "response.output_audio.delta":
            self._measure_first_audio()
            self._hear(base64.b64decode(str(event.get("delta", ""))))
        elif kind == "input_audio_buffer.speech_started":
            self._player.flush()
            self._heard_at = 0.0
        elif kind == "input_audio_buffer.speech_stopped":
            self._stopped_at = self._last_activity
        else:
            self._handle_answer(kind, event)

    def _handle_answer(self, kind: str, event: Event) -> None:
        if kind == "conversation.item.input_audio_transcription.completed":
            self._line("you", event.get("transcript"))
        elif kind in ("response.output_audio_transcript.done", "response.output_text.done"):
            self._line("voice", event.get("transcript") or event.get("text"))
        elif kind == "response.created":
            self._answering = True
        elif kind == "response.done":
            self._answering = False
            self._answers += 1
            self.heard.failure = _failure_of(event.get("response")) or self.heard.failure
        elif kind == "error":
            self._error(event.get("error"))

    def _measure_first_audio(self) -> None:
        if self.heard.first_audio_ms is None and self._stopped_at is not None:
            self.heard.first_audio_ms = round((self._last_activity - self._stopped_at) * 1000)

    def _hear(self, pcm: bytes) -> None:
        self.heard.audio += pcm
        self._player.play(pcm)
        begins = max(self._heard_at, self._last_activity + HEARD_SECONDS)
        self._heard_at = begins + len(pcm) / (2 * RATE)

    def _line(self, speaker: str, text: object) -> None:
        said = text.strip() if isinstance(text, str) else ""
        if said:
            self.heard.lines.append((speaker, said))
            self._say(speaker, said)

    def _error(self, error: Any) -> None:
        message = str(error.get("message")) if isinstance(error, dict) else str(error)
        self.heard.errors.append(message)
        self._say("error", message)


def _failure_of(response: Any) -> str:
    """Why an answer failed, "" if it did not."""
    if not isinstance(response, dict) or response.get("status") != "failed":
        return ""
    details = response.get("status_details")
    error = details.get("error") if isinstance(details, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or "the engine does not say why")


def _failure(url: str, failed: BaseException) -> str:
    """The line for the user: of the first failure, where there are several."""
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
            return f"{url} is not a ws:// or wss:// URL"
        case _:
            hint = "" if isinstance(failed, ProxyRefusal) else ". Is it running?"
            return f"cannot reach {url}: {failed}{hint}"


async def chunks_of(pcm: bytes) -> AsyncIterator[bytes]:
    """A recording in chunks of the size that a browser sends."""
    for start in range(0, len(pcm), CHUNK_BYTES):
        yield pcm[start : start + CHUNK_BYTES]


async def microphone() -> AsyncIterator[bytes]:
    """Chunks of PCM16 24 kHz mono until cancelled; raises TalkFailed where there is none."""
    try:
        # It comes with the `voice` extra, and needs PortAudio.
        import sounddevice  # type: ignore[import-untyped]  # noqa: PLC0415
    except (ImportError, OSError):
        raise TalkFailed(NO_MICROPHONE) from None
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_CHUNKS)

    def put(chunk: bytes) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(chunk)

    def on_audio(data: Any, *_: Any) -> None:
        loop.call_soon_threadsafe(put, bytes(data))

    with contextlib.ExitStack() as open_stream:
        try:
            stream = sounddevice.RawInputStream(
                samplerate=RATE,
                channels=1,
                dtype="int16",
                blocksize=CHUNK_BYTES // 2,
                callback=on_audio,
            )
            open_stream.enter_context(stream)
        except sounddevice.PortAudioError:
            raise TalkFailed(NO_MICROPHONE) from None
        while True:
            yield await queue.get()

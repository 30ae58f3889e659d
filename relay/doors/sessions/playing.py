"""Plays a session's answers on its audio sockets: small numbered frames, just ahead of playback."""

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from typing import Any, Final

LEAD_SECONDS: Final = 0.2
"""How far ahead of playback sound is sent: a pause is heard after no more than this."""
HELD_BYTES: Final = 48_000 * 180
"""Of sound that waits to be sent: three minutes; what comes beyond it is dropped."""
BYTES_A_SECOND: Final = 48_000

Broadcast = Callable[[dict[str, Any]], None]


class AnswerPlayer:
    """The sound of answers, in order; `chunk_size` are bytes of PCM16 in a frame.

    `broadcast` is given each frame. Every answer is numbered from 0 and ends with `final`.
    """

    def __init__(self, broadcast: Broadcast, chunk_size: int) -> None:
        self._broadcast = broadcast
        self._size = max(chunk_size // 2 * 2, 2)
        self._waiting: deque[bytes | None] = deque()
        self._rest = b""
        self._bytes = 0
        self._more = asyncio.Event()
        self._sequence = 0
        self._played_to = 0.0
        self._is_over = False

    def take(self, pcm: bytes) -> None:
        """Queue sound: PCM16, mono, 24 kHz."""
        if self._bytes > HELD_BYTES:
            return
        self._bytes += len(pcm)
        sound = self._rest + pcm
        whole = (len(sound) - 1) // self._size * self._size  # the last piece waits for its end
        pieces = (sound[at : at + self._size] for at in range(0, whole, self._size))
        self._waiting.extend(pieces)
        self._rest = sound[whole:]
        self._more.set()

    def finish(self) -> None:
        """The answer has no more sound."""
        if self._rest:
            self._waiting += (self._rest, None)
            self._rest = b""
        elif self._waiting or self._sequence:
            self._waiting.append(None)
        self._more.set()

    def flush(self) -> None:
        """Drop what has not been sent; the answer is over."""
        self._waiting.clear()
        self._rest, self._bytes, self._sequence = b"", 0, 0

    def close(self) -> None:
        """Drop what has not been sent, and let `run` end."""
        self.flush()
        self._is_over = True
        self._more.set()

    async def run(self, clock: Callable[[], float]) -> None:
        """Send what is queued, until `close`; `clock` is in seconds."""
        while not self._is_over:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
                continue
            now = clock()
            self._played_to = max(self._played_to, now)
            if self._played_to - now > LEAD_SECONDS:
                await asyncio.sleep(self._played_to - now - LEAD_SECONDS)
                continue
            self._send_next()

    def _send_next(self) -> None:
        piece = self._waiting.popleft()
        if piece is None:
            self._sequence = 0
            return
        is_final = bool(self._waiting) and self._waiting[0] is None
        self._bytes -= len(piece)
        self._played_to += len(piece) / BYTES_A_SECOND
        frame: dict[str, Any] = {
            "type": "audio_response",
            "sequence": self._sequence,
            "audioData": base64.b64encode(piece).decode(),
        }
        self._sequence += 1
        self._broadcast({**frame, "final": True} if is_final else frame)

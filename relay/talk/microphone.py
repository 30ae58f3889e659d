"""The microphone of this machine, where there is one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from relay.talk.client import CHUNK_BYTES, TalkFailed
from relay.talk.wav import RATE

_QUEUED: Final = 250  # ten seconds; a slow network drops the oldest


async def microphone() -> AsyncIterator[bytes]:
    """Chunks of PCM16 24 kHz mono until cancelled; raises TalkFailed where there is none."""
    try:
        import sounddevice  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with the `voice` extra, and needs PortAudio
    except (ImportError, OSError):
        raise TalkFailed("no microphone here: give a WAV file instead of -") from None
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED)

    def put(chunk: bytes) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(chunk)

    def heard(data: Any, *_: Any) -> None:
        loop.call_soon_threadsafe(put, bytes(data))

    try:
        stream = sounddevice.RawInputStream(
            samplerate=RATE, channels=1, dtype="int16", blocksize=CHUNK_BYTES // 2, callback=heard
        )
    except sounddevice.PortAudioError:
        raise TalkFailed("no microphone here: give a WAV file instead of -") from None
    with stream:
        while True:
            yield await queue.get()

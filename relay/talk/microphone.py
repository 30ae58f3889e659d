"""The microphone of this machine, where there is one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from relay.talk.client import CHUNK_BYTES, TalkFailed
from relay.talk.wav import RATE

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

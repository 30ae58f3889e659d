"""Decodes audio to PCM16 mono at 24 kHz, and encodes MP3, in processes that may be killed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

import structlog

from relay.parts.interfaces import PartFailed
from relay.parts.worker import WorkerPool, WorkerProgram
from relay.parts.worker_process import pack

WORKERS: Final = 2
WORK_SECONDS: Final = 20.0
"""Seconds one request may take; its process is killed then."""
MAX_WAIT: Final = 15.0
"""Seconds a request may wait for its turn."""
MAX_BYTES: Final = 34 * 1024 * 1024
"""Of one request: as much as the Socket.IO door gathers."""
MAX_WAITING_BYTES: Final = 256 * 1024 * 1024
"""Of all requests that wait or are being done."""
BYTES_PER_UNIT: Final = 100_000
SECONDS_PER_UNIT: Final = 0.02

RejectedAs = Literal["undecodable", "unsupported", "too_long", "empty", "busy"]
MESSAGES: Final[Mapping[RejectedAs, str]] = {
    "undecodable": "The audio cannot be decoded.",
    "unsupported": "This audio format is not supported: send WAV, WebM, Ogg, MP3, FLAC or PCM.",
    "too_long": "The audio is too long: ten minutes at most.",
    "empty": "There is no audio.",
    "busy": "The server is busy. Try again in a moment.",
}


log = structlog.get_logger(__name__)


class AudioRejected(Exception):  # noqa: N818 - an outcome, told to who sent it
    """The audio cannot be used; `code` says why, the text is for its sender."""

    def __init__(self, code: RejectedAs) -> None:
        super().__init__(MESSAGES[code])
        self.code = code


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """How audio without a header is to be read; the defaults are the services door's (S4-3)."""

    sample_rate: int = 48_000
    channels: int = 1
    bits_per_sample: int = 16


class AudioDecoder:
    """A `Resource`: its processes start with the first request, or `prepare`."""

    def __init__(self, workers: int = WORKERS) -> None:
        program = WorkerProgram(
            part="decoder",
            module="relay.audio.child",
            seconds_per_unit=SECONDS_PER_UNIT,
            work_seconds=WORK_SECONDS,
        )
        self._pool = WorkerPool(program, workers)
        self._bytes = 0

    async def prepare(self) -> None:
        """Start the processes; raises `PartFailed` where the libraries are not installed."""
        await self._pool.prepare()

    async def aclose(self) -> None:
        """End the processes; what is under way fails."""
        await self._pool.aclose()

    async def decode(self, data: bytes, pcm: PcmFormat | None = None) -> bytes:
        """Return the audio as PCM16, mono, 24 kHz; raises `AudioRejected`, `PartFailed`.

        What begins like a WAV file is one. Everything else is PCM where `pcm` is given, for PCM may
        begin with anything, and is known by its first bytes where it is not.
        """
        if not data:
            raise AudioRejected("empty")
        if len(data) > MAX_BYTES:
            raise AudioRejected("too_long")
        return await self._do({"do": "decode", "pcm": asdict(pcm) if pcm else None}, data)

    async def encode_mp3(self, pcm: bytes) -> bytes:
        """Return PCM16 mono 24 kHz as MP3; raises `AudioRejected`, `PartFailed`."""
        return await self._do({"do": "encode"}, pcm)

    async def _do(self, what: Mapping[str, object], data: bytes) -> bytes:
        if self._bytes + len(data) > MAX_WAITING_BYTES:
            raise AudioRejected("busy")
        body = pack(json.dumps(what).encode(), data)
        work = self._pool.work(body, 1 + len(data) / BYTES_PER_UNIT, MAX_WAIT)
        self._bytes += len(data)
        try:
            return b"".join([piece async for piece in work])
        except PartFailed as failed:
            if failed.code in ("failed", "timeout"):
                log.warning("audio not decoded", reason=str(failed))
            raise _rejected(failed) from failed
        finally:
            self._bytes -= len(data)


def _rejected(failed: PartFailed) -> Exception:
    """What the sender is told: audio that kills or holds up its process is undecodable."""
    if failed.code == "unavailable":
        return failed
    if failed.code == "busy":
        return AudioRejected("busy")
    known = failed.code == "rejected" and failed.detail in MESSAGES
    return AudioRejected(failed.detail if known else "undecodable")  # type: ignore[arg-type]

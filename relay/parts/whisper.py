"""The transcriber of the local voice: Whisper, in processes of its own."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import structlog

from relay.parts.interfaces import SAMPLE_RATE, TranscriptionRequest
from relay.parts.worker import Device, WorkerPool, WorkerProgram
from relay.parts.worker_process import pack

log = structlog.get_logger(__name__)

PACKAGED_NAME: Final = "whisper-tiny.en"
LONGEST_SECONDS: Final = 120  # of a longer turn only the beginning is transcribed
MOST_THREADS: Final = 4  # of one process; the model is too small for more
WINDOW_SECONDS: Final = 10  # what the model looks at at once, at the least; see `units`
USUAL_SECONDS: Final = 0.4  # for one window, until there is a measurement
WORK_SECONDS: Final = 60.0  # a process that takes longer for one turn is killed


class WhisperTranscriber:
    """A `Transcriber` on faster-whisper.

    `model` is "" for the packaged Whisper tiny.en, else a folder with a model in CTranslate2's
    form, or one's name on the hub, which is fetched once. An English-only model yields nothing for
    speech in another language; one that knows many does so for another than the request's, which is
    `language` where it names none. `device` `auto` and `cuda` fall back to the processor where CUDA
    does not work.
    """

    def __init__(
        self,
        model: str = "",
        device: Device = "auto",
        workers: int = 1,
        language: str | None = None,
    ) -> None:
        self._model = model
        self._language = (language or "").split("-")[0].lower() or None
        self._told = False
        threads = max(1, min(MOST_THREADS, (os.cpu_count() or 1) // workers))
        program = WorkerProgram(
            part="transcriber",
            module="relay.parts.whisper_worker",
            arguments=(model, device, str(threads)),
            seconds_per_unit=USUAL_SECONDS,
            work_seconds=WORK_SECONDS,
        )
        self._pool = WorkerPool(program, workers)

    @property
    def name(self) -> str:
        """Return the model's name: a folder's last part, or the one on the hub."""
        return Path(self._model).name if self._model else PACKAGED_NAME

    @property
    def languages(self) -> Sequence[str]:
        """Return English for a model of English alone; () for others, or one not loaded yet."""
        found = self._pool.found.get("languages")
        if found is None:
            found = "en" if self.name.endswith(".en") else ""
        return tuple(found.split())

    @property
    def device(self) -> str:
        """Return where it computes, `cpu` or `cuda`; "" before it has been loaded."""
        return self._pool.found.get("device", "")

    @property
    def fallback(self) -> str:
        """Return why it computes on the processor although a graphics card was wanted, else ""."""
        return self._pool.found.get("fallback", "")

    async def prepare(self) -> None:
        """Start the processes and load the model; raises `PartFailed`."""
        await self._pool.prepare()
        self._tell_fallback()

    async def probe(self) -> None:
        """Start what is to listen, if it is not running; raises `PartFailed`."""
        await self._pool.prepare()

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        """Yield what was said, in one piece for each quarter of a minute.

        Nothing where there is no speech, or none that the model knows. Raises `PartFailed`.
        """
        pcm = request.pcm[: LONGEST_SECONDS * SAMPLE_RATE * 2]
        hints = {"language": request.language or self._language, "prompt": request.prompt}
        body = pack(json.dumps(hints).encode(), pcm)
        async for piece in self._pool.work(body, units(len(pcm)), request.max_wait):
            self._tell_fallback()
            yield piece.decode()

    async def aclose(self) -> None:
        """Kill the processes; turns under way fail."""
        await self._pool.aclose()

    def _tell_fallback(self) -> None:
        if self.fallback and not self._told:
            self._told = True
            log.warning("transcriber computes on the processor", reason=self.fallback)


def units(pcm_bytes: int) -> float:
    """Return what so much audio costs, in windows: a short one costs as much as a whole one."""
    return max(1.0, pcm_bytes / (SAMPLE_RATE * 2) / WINDOW_SECONDS)

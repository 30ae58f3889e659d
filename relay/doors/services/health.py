"""Watches the services: asks each at every interval whether it works, and notes how fast it was."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

import structlog

from relay.doors.services.models import DEFAULT_BASE
from relay.knowledge.bases import KnowledgeBases
from relay.parts.interfaces import PartFailed, PartKind, Parts, probe

INTERVAL: Final = 5.0
"""Seconds between two rounds of questions."""
QUESTION_SECONDS: Final = 4.0
"""Seconds that a part may take to answer one."""
FIRST_SECONDS: Final = 0.05
"""Seconds that the first callers wait for the first round."""

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[object]]
"""Asks a service whether it would work; raises `PartFailed` or what its library raises."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What a service last said; `latency_ms` is how long it took to say so."""

    available: bool = False
    latency_ms: float | None = None
    reason: str | None = "not asked yet"


class HealthWatch:
    """The last answers of all services, by name, and of the graphics card."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._first_round = asyncio.Event()
        self.states = {name: ServiceState() for name in probes}
        self.gpu: Mapping[str, Any] = {"gpu_available": False}

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Ask every service once, all at the same time."""
        async with asyncio.TaskGroup() as asking:
            for name, ask in self._probes.items():
                asking.create_task(self._ask(name, ask))
            asking.create_task(self._look_at_gpu())
        self._first_round.set()

    async def seen(self) -> None:
        """Wait a moment for the first round, where it is not over yet."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._first_round.wait()

    def failed(self, name: str, code: str) -> None:
        """Note at once what a caller has just met: a service that cannot be reached."""
        if name in self.states:
            self._note(name, ServiceState(reason=code))

    async def _ask(self, name: str, ask: Probe) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                await ask()
        except PartFailed as failure:
            self._note(name, ServiceState(reason=failure.code))
        except Exception as error:  # noqa: BLE001 - whatever it is, the service does not work
            self._note(name, ServiceState(reason=type(error).__name__))
        else:
            took = round((clock() - began) * 1000, 1)
            self._note(name, ServiceState(True, took, None))

    def _note(self, name: str, state: ServiceState) -> None:
        if state.reason != self.states[name].reason:
            log.info("service state", service=name, available=state.available, reason=state.reason)
        self.states[name] = state

    async def _look_at_gpu(self) -> None:
        self.gpu = await asyncio.to_thread(read_gpu)


def probes_of(parts: Callable[[], Parts], knowledge: KnowledgeBases) -> Mapping[str, Probe]:
    """Return how each service is asked, by the names that the services of old have for parts."""
    return {
        "whisper": lambda: probe(parts().transcriber),
        "ollama": lambda: probe(parts().make_responder()),
        "langchain": lambda: knowledge.exists(DEFAULT_BASE),
    }


SERVICE_OF: Final[Mapping[PartKind, str]] = {"transcriber": "whisper", "responder": "ollama"}
"""The names that the services of old have for parts."""
LIBRARIES: Final = ("ctranslate2", "xllamacpp", "nvidia-ml-py")
_GIB: Final = 1024**3


def read_gpu() -> Mapping[str, Any]:
    """Return the first graphics card's figures, memory in GiB; blocks for some milliseconds."""
    try:
        import pynvml  # noqa: PLC0415 - where it is not installed there is no card to read

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no library, no driver, no card: all the same here
        return {"gpu_available": False}
    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(card)
        driver = pynvml.nvmlSystemGetCudaDriverVersion()
        return {
            "gpu_available": True,
            "gpu_name": _text(pynvml.nvmlDeviceGetName(card)),
            "memory_used": round(memory.used / _GIB, 2),
            "memory_total": round(memory.total / _GIB, 2),
            "utilization": float(pynvml.nvmlDeviceGetUtilizationRates(card).gpu),
            "cuda_version": f"{driver // 1000}.{driver % 1000 // 10}",
            "device_count": pynvml.nvmlDeviceGetCount(),
        }
    except pynvml.NVMLError:
        return {"gpu_available": False}
    finally:
        pynvml.nvmlShutdown()


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that may compute on a card, of those installed."""
    found = {}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name

"""An engine that stands in for the voice of this machine while that is being installed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from relay.interfaces import Connection, Engine, EngineCapabilities, EngineRequest

Phase = Literal["downloading", "installing", "starting", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class InstallProgress:
    """How far the voice has come: what is being done, and how much of the download is here.

    `megabytes` of about `of` (both millions of bytes) are downloaded. After `failed` nothing more
    is tried before the next start.
    """

    phase: Phase
    megabytes: int
    of: int


class VoiceInstaller(Protocol):
    """Brings the voice's libraries and models, once."""

    @property
    def progress(self) -> InstallProgress:
        """How far it is now."""

    async def install(self) -> bool:
        """Bring what is missing; tell whether all is here. A cancelled one can be repeated."""

    def enter(self, phase: Phase) -> None:
        """Set the phase of `progress`, and tell the person who waits."""


class PendingEngine:
    """Answers with `stand_in` until the voice is installed and `make` has made its engine.

    Sessions that are open then go on with the stand-in; only new ones get the voice.
    """

    def __init__(
        self, stand_in: Engine, installer: VoiceInstaller, make: Callable[[], Engine]
    ) -> None:
        self._stand_in = stand_in
        self._installer = installer
        self._make = make
        self._current = stand_in
        self.name = stand_in.name
        """The name of the engine that a new session gets."""

    @property
    def current(self) -> Engine:
        """The engine that a new session gets."""
        return self._current

    @property
    def capabilities(self) -> EngineCapabilities:
        """Those of the engine that a new session gets."""
        return self._current.capabilities

    @property
    def progress(self) -> InstallProgress:
        """How far the voice has come."""
        return self._installer.progress

    async def arrive(self) -> None:
        """Install the voice and take its engine, or stay with the stand-in where that fails."""
        if not await self._installer.install():
            self._installer.enter("failed")
            return
        self._installer.enter("starting")
        engine = self._make()
        if engine.name == self._stand_in.name:  # installed, and yet it does not load here
            await engine.aclose()
            self._installer.enter("failed")
            return
        self._current, self.name = engine, engine.name
        self._installer.enter("ready")

    async def open(self, request: EngineRequest) -> Connection:
        """Open a connection to the engine of the moment."""
        return await self._current.open(request)

    async def aclose(self) -> None:
        """Release both engines."""
        await self._stand_in.aclose()
        if self._current is not self._stand_in:
            await self._current.aclose()

"""An event loop for which time passes several times as fast, sockets included."""

import asyncio
import selectors
import time


class _FastSelector(selectors.DefaultSelector):
    """Waits for a fraction of what it is told to."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self._speed)


class FastLoop(asyncio.SelectorEventLoop):
    """Every second of the machine is `speed` seconds of this loop's `time`, and of its timers."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.time()
        self._zero = time.monotonic()
        super().__init__(_FastSelector(speed))

    def time(self) -> float:
        return (time.monotonic() - self._zero) * self._speed

    def unix(self) -> float:
        """Unix seconds, for what runs in this loop."""
        return self._began + self.time()

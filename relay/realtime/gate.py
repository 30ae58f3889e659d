"""Where speech begins and ends in a stream of PCM16: an energy gate with a pre-roll; pure."""

from collections import deque
from enum import Enum
from math import inf
from operator import mul
from typing import Final

WINDOW_MS: Final = 20
WINDOW_BYTES: Final = 960  # of PCM16 mono 24 kHz
LOUD: Final = 400
"""Root mean square of a window that may be speech: -38 dB of full scale, above a quiet room."""
STARTS_WINDOWS: Final = 2  # a click is shorter
PRE_ROLL_WINDOWS: Final = 10  # 200 ms: the soft beginning of a word
HANG_WINDOWS: Final = 35  # 700 ms: a pause within a sentence is shorter
HANG_SECONDS: Final = HANG_WINDOWS * WINDOW_MS / 1000
MOST_WINDOWS: Final = 3000  # one minute: a turn that never ends would never be written down


class Edge(Enum):
    """Speech begins, speech ends."""

    BEGIN = "begin"
    END = "end"


class Gate:
    """Cuts a stream into turns. Its clock is the sound itself, and the wall where none comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._before: deque[bytes] = deque(maxlen=PRE_ROLL_WINDOWS)
        self._loud = 0  # windows in a row
        self._quiet = 0
        self._length = 0
        self._heard_at = 0.0
        self.is_open = False

    def feed(self, pcm: bytes, now: float) -> list[Edge | bytes]:
        """The next piece of sound, at `now` seconds: the edges in it, and the sound of speech."""
        if now >= self._heard_at + HANG_SECONDS:
            self._forget()  # another stream, for all that is known
        self._heard_at = now
        sound = self._rest + pcm
        whole = len(sound) // WINDOW_BYTES * WINDOW_BYTES
        self._rest = sound[whole:]
        found: list[Edge | bytes] = []
        for start in range(0, whole, WINDOW_BYTES):
            found += self._window(sound[start : start + WINDOW_BYTES])
        return _joined(found)

    def due(self, now: float) -> bool:
        """Whether an open turn is over because nothing comes any more."""
        return self.is_open and now >= self.next()

    def next(self) -> float:
        """When to ask `due`; infinity when no turn is open."""
        return self._heard_at + HANG_SECONDS if self.is_open else inf

    def close(self) -> None:
        """The turn is over, whatever is being said; what follows may begin another one."""
        self.is_open = False
        self._loud = self._quiet = self._length = 0
        self._before.clear()

    def _forget(self) -> None:
        """What came before stands in no connection with what comes."""
        self._rest = b""
        self._before.clear()

    def _window(self, window: bytes) -> list[Edge | bytes]:
        loud = _is_loud(window)
        self._loud = self._loud + 1 if loud else 0
        self._quiet = 0 if loud else self._quiet + 1
        if not self.is_open:
            self._before.append(window)
            return self._opened() if self._loud >= STARTS_WINDOWS else []
        self._length += 1
        if self._quiet < HANG_WINDOWS and self._length < MOST_WINDOWS:
            return [window]
        self.close()
        return [window, Edge.END]

    def _opened(self) -> list[Edge | bytes]:
        found: list[Edge | bytes] = [Edge.BEGIN, *self._before]
        self.is_open = True
        self._length = len(self._before)
        self._before.clear()
        return found


def _is_loud(window: bytes) -> bool:
    samples: list[int] = memoryview(window).cast("h").tolist()
    power: int = sum(map(mul, samples, samples))
    return power > LOUD * LOUD * len(samples)


def _joined(found: list[Edge | bytes]) -> list[Edge | bytes]:
    """Windows of one piece in a row become one piece of sound."""
    joined: list[Edge | bytes] = []
    for piece in found:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined

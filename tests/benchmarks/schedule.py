"""When each end of each session sends its next frame; pure, times in nanoseconds."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.frames import BURST, DOWN_PER_SECOND, TURN_SECONDS, UP_PER_SECOND, Piece
from tests.benchmarks.plan import Answers

_SECOND: Final = 1_000_000_000
_TURN_FRAMES: Final = int(TURN_SECONDS * DOWN_PER_SECOND)

Send = Callable[[bytes], None]
"""Sends one frame to one end of one session."""


class Microphone:
    """One client: the same audio frame at an even pace."""

    __slots__ = ("_frame", "_period", "_send", "_start", "_times")

    def __init__(self, send: Send, frame: Piece, start: int, scale: float) -> None:
        self._send = send
        self._frame = frame
        self._period = _SECOND / (UP_PER_SECOND * scale)
        self._start = start
        self._times = 0

    def fire(self, now: int) -> int:
        """Send a frame; returns when the next one is due."""
        self._send(self._frame.at(now))
        self._times += 1
        return self._start + int(self._times * self._period)


class Voice:
    """One engine: turns of 150 events, evenly or each turn's in a twelfth of its time."""

    __slots__ = ("_frames", "_place", "_send", "_spacing", "_start", "_times", "_turn")

    def __init__(
        self, send: Send, frames: Sequence[Piece], start: int, place: int, spacing: tuple[int, int]
    ) -> None:
        self._send = send
        self._frames = frames
        self._place = place
        self._start = start
        self._turn, self._spacing = spacing
        self._times = 0

    def fire(self, now: int) -> int:
        """Send a frame; returns when the next one is due."""
        self._send(self._frames[self._place].at(now))
        self._place = (self._place + 1) % len(self._frames)
        self._times += 1
        turn, frame = divmod(self._times, _TURN_FRAMES)
        return self._start + turn * self._turn + frame * self._spacing


def spacing(answers: Answers, scale: float) -> tuple[int, int]:
    """The time from turn to turn and from frame to frame within a turn."""
    turn = int(TURN_SECONDS * _SECOND / scale)
    frame = turn // _TURN_FRAMES
    return turn, frame // BURST if answers == "burst" else frame


class Agenda:
    """Who sends next, for all ends of all sessions."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Microphone | Voice]] = []

    def add(self, at: int, source: Microphone | Voice) -> None:
        """Let this source fire first at this time."""
        heapq.heappush(self._due, (at, len(self._due), source))

    @property
    def next(self) -> int:
        """When the next frame is due."""
        return self._due[0][0]

    def fire(self, now: int) -> None:
        """Send the frame that is due longest."""
        _, number, source = self._due[0]
        heapq.heapreplace(self._due, (source.fire(now), number, source))


@dataclass(frozen=True, slots=True)
class Material:
    """What is sent: a microphone's frame, and an engine's turns."""

    up: Piece
    down: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast: `scale` is the part of the full rate that is offered."""

    answers: Answers
    scale: float


def agenda(
    up: Sequence[Send], down: Sequence[Send], material: Material, pace: Pace, start: int
) -> Agenda:
    """Every session at its own moment, spread as evenly as independent callers are."""
    made = Agenda()
    period = int(_SECOND / (UP_PER_SECOND * pace.scale))
    for number, send in enumerate(up):
        at = start + number * period // len(up)
        made.add(at, Microphone(send, material.up, at, pace.scale))
    turn, frame = spaced = spacing(pace.answers, pace.scale)
    for number, send in enumerate(down):
        if pace.answers == "burst":
            at, place = start + number * turn // len(down), 0
        else:
            at = start + number * frame // len(down)
            place = number * len(material.down) // len(down)
        made.add(at, Voice(send, material.down, at, place, spaced))
    return made

"""Sends a client its events: directly or paced, monitored or not, with the model muted or not."""

from collections.abc import Callable, Collection
from typing import Protocol

from relay.interfaces import Frame
from relay.realtime.events import sniff
from relay.realtime.playout import Pacing, Playout

Send = Callable[[Frame], None]


class ClientOutput(Protocol):
    """Takes frames for the client. `now` is in seconds of the session's clock."""

    def audio(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Send so many milliseconds of an item's audio."""

    def other(self, frame: Frame) -> None:
        """Send anything else."""

    def flush(self) -> None:
        """Drop audio that was not sent yet, after an interruption; send the rest."""

    def due(self, now: float) -> None:
        """Send what may be sent by now."""

    def next(self) -> float:
        """When to call `due`; infinity when nothing waits."""


class OutputSwitch:
    """Selects the outputs of a session; each may change at any time.

    `plain` bypasses monitor and mute, `current` is monitored where a monitor listens, and `model`
    is for the model's audio, which may be muted. `other` sends frames that are not audio.
    """

    __slots__ = ("_is_muted", "_monitor", "current", "model", "other", "plain")

    current: ClientOutput
    model: ClientOutput
    other: Send

    def __init__(self, plain: "DirectOutput | PacedOutput") -> None:
        self.plain = plain
        self._monitor: AudioMonitor | None = None
        self._is_muted = False
        self._select()

    def connect(self, send: Send) -> None:
        """Send to this connection from now on."""
        self.plain.connect(send)
        self._select()

    def mute(self, muted: bool) -> None:
        """Whether the model's audio is dropped."""
        self._is_muted = muted
        self._select()

    def monitor(self, monitor: "AudioMonitor | None") -> None:
        """Let this monitor hear what is played; None removes it."""
        self._monitor = monitor
        self._select()

    def _select(self) -> None:
        plain, monitor = self.plain, self._monitor
        self.current = plain if monitor is None else MonitoredOutput(plain, monitor)
        self.model = MutedOutput(self.current) if self._is_muted else self.current
        self.other = plain.other


def discard(frame: Frame) -> None:
    """Drop what is sent while no client is connected."""


class DirectOutput:
    """Sends everything at once: the fast path."""

    other: Send

    def __init__(self, playout: Playout) -> None:
        self._playout = playout
        self.waiting = 0
        self.other = discard

    def connect(self, send: Send) -> None:
        """Send to this connection from now on."""
        self.other = send  # bound once: no extra call on the hot path

    def audio(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Send it, and note when it will be heard."""
        self._playout.received(item_id, ms)
        self._playout.sent(item_id, ms, now)
        self.other(frame)

    def flush(self) -> None:
        """Nothing waits here."""

    def withdraw(self, kind: str) -> None:
        """Nothing waits here."""

    def due(self, now: float) -> None:
        """Nothing waits here."""

    def next(self) -> float:
        """Never."""
        return float("inf")


class PacedOutput:
    """Holds audio until the client's lead is short; what belongs to it waits in order."""

    def __init__(self, playout: Playout, pacing: Pacing, clock: Callable[[], float]) -> None:
        self._playout = playout
        self._pacing = pacing
        self._clock = clock
        self._send: Send = discard

    @property
    def waiting(self) -> int:
        """Bytes that are held."""
        return self._pacing.size

    def connect(self, send: Send) -> None:
        """Send to this connection from now on."""
        self._send = send

    def audio(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Send it now, or when its turn comes."""
        self._playout.received(item_id, ms)
        self._send_all(self._pacing.push_audio(frame, item_id, ms, now))

    def other(self, frame: Frame) -> None:
        """Send it now, or behind the audio that it belongs to."""
        self._send_all(self._pacing.push_other(frame, sniff(frame), self._clock()))

    def withdraw(self, kind: str) -> None:
        """Drop events of this type that wait."""
        self._pacing.withdraw(kind)

    def flush(self) -> None:
        """Drop the audio that waits, send the rest."""
        self._send_all(self._pacing.flush())

    def due(self, now: float) -> None:
        """Send what may be sent by now."""
        self._send_all(self._pacing.due(now))

    def next(self) -> float:
        """When the lead will be short again."""
        return self._pacing.next()

    def _send_all(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._send(frame)


def plain_output(
    playout: Playout,
    pace_ms: int | None,
    clock: Callable[[], float],
    after_playback: Collection[str] = (),
) -> DirectOutput | PacedOutput:
    """Paced where a lead is asked for, else direct; not connected yet."""
    if pace_ms is None:
        return DirectOutput(playout)
    return PacedOutput(playout, Pacing(playout, pace_ms, after_playback), clock)


class MutedOutput:
    """Drops audio, passes the rest: for a model that a coach keeps silent."""

    def __init__(self, output: ClientOutput) -> None:
        self.other = output.other
        self.flush = output.flush
        self.due = output.due
        self.next = output.next

    def audio(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Drop it."""


class LearnerMonitor(Protocol):
    """Listens to the client's audio. A frame is valid only during the call."""

    def learner(self, frame: Frame) -> None:
        """An `append` was sent to the engine."""


class AudioMonitor(Protocol):
    """Listens to both directions of a session. A frame is valid only during the call."""

    def learner(self, frame: Frame) -> None:
        """An `append` was sent to the engine."""

    def model(self, frame: Frame) -> None:
        """A piece of audio was sent to the client."""

    def flush(self) -> None:
        """What the client has not played yet it never will."""


class MonitoredOutput:
    """Passes everything, and lets a monitor hear the audio."""

    def __init__(self, output: ClientOutput, monitor: AudioMonitor) -> None:
        self._output = output
        self._monitor = monitor
        self.other = output.other
        self.due = output.due
        self.next = output.next

    def audio(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Send it, then let the monitor hear it."""
        self._output.audio(frame, item_id, ms, now)
        self._monitor.model(frame)

    def flush(self) -> None:
        """Flush both."""
        self._output.flush()
        self._monitor.flush()


def monitored_send(send: Send, monitor: LearnerMonitor) -> Send:
    """A `send` for the learner's audio that lets a monitor hear it, too."""

    def both(frame: Frame) -> None:
        send(frame)
        monitor.learner(frame)

    return both

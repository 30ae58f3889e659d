"""The last step down to a client: at once, or paced to a bounded lead."""

from collections.abc import Callable
from typing import Protocol

from relay.interfaces import Connection, Frame
from relay.realtime.playout import Pacing, Playout


class ClientOutput(Protocol):
    """Where frames for the client go. `now` is in seconds of the session's clock."""

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """So many milliseconds of an item's sound."""

    def other(self, frame: Frame) -> None:
        """Anything else."""

    def flush(self) -> None:
        """An interruption: sound that was not sent yet is dropped, the rest is sent."""

    def due(self, now: float) -> None:
        """Send what may be sent by now."""

    def next(self) -> float:
        """When `due` is wanted; infinity when nothing waits."""


class DirectOutput:
    """Everything at once: the fast path."""

    def __init__(self, client: Connection, playout: Playout) -> None:
        self._playout = playout
        self.other = client.send  # bound once: no extra call on the hot path

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Send it, and note when it will be heard."""
        self._playout.received(item_id, ms)
        self._playout.sent(item_id, ms, now)
        self.other(frame)

    def flush(self) -> None:
        """Nothing waits here."""

    def due(self, now: float) -> None:
        """Nothing waits here."""

    def next(self) -> float:
        """Never."""
        return float("inf")


class MutedOutput:
    """For a model that a human keeps silent: its sound is dropped, the rest passes."""

    def __init__(self, outlet: ClientOutput) -> None:
        self.other = outlet.other
        self.flush = outlet.flush
        self.due = outlet.due
        self.next = outlet.next

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Nobody hears it."""


class PacedOutput:
    """Sound waits until the client's lead is short; what comes behind it waits in order."""

    def __init__(
        self, client: Connection, playout: Playout, pacing: Pacing, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._playout = playout
        self._pacing = pacing
        self._clock = clock

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Send it now or when its turn has come."""
        self._playout.received(item_id, ms)
        self._send(self._pacing.push_audio(frame, item_id, ms, now))

    def other(self, frame: Frame) -> None:
        """Send it now or behind the sound that waits."""
        self._send(self._pacing.push_other(frame, self._clock()))

    def flush(self) -> None:
        """Drop the sound that waits, send the rest."""
        self._send(self._pacing.flush())

    def due(self, now: float) -> None:
        """Send what may be sent by now."""
        self._send(self._pacing.due(now))

    def next(self) -> float:
        """When the lead will be short again."""
        return self._pacing.next()

    def _send(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._client.send(frame)


def client_output(
    client: Connection, playout: Playout, pace_ms: int | None, clock: Callable[[], float]
) -> ClientOutput:
    """Paced where a lead is asked for, else direct."""
    if pace_ms is None:
        return DirectOutput(client, playout)
    return PacedOutput(client, playout, Pacing(playout, pace_ms), clock)


# ---- Pieces that are put into a session's two directions while somebody listens, and taken out.

Send = Callable[[Frame], None]


class AudioMonitor(Protocol):
    """Who listens. The frames are valid during the call alone."""

    def learner(self, frame: Frame) -> None:
        """An `append` went up."""

    def model(self, frame: Frame) -> None:
        """A piece of the model's sound is on its way to the learner."""

    def flush(self) -> None:
        """What of it was not heard yet never will be."""


class MonitoredOutput:
    """An outlet that is listened to."""

    def __init__(self, outlet: ClientOutput, tap: AudioMonitor) -> None:
        self._outlet = outlet
        self._tap = tap
        self.other = outlet.other
        self.due = outlet.due
        self.next = outlet.next

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Both hear it."""
        self._outlet.sound(frame, item_id, ms, now)
        self._tap.model(frame)

    def flush(self) -> None:
        """Nobody hears the rest."""
        self._outlet.flush()
        self._tap.flush()


def monitored_send(send: Send, tap: AudioMonitor) -> Send:
    """A way up for sound that is listened to."""

    def both(frame: Frame) -> None:
        send(frame)
        tap.learner(frame)

    return both

"""The two directions of a session: what comes from the client goes up, from the engine down."""

from collections.abc import Callable
from typing import Final, Protocol

from relay.interfaces import Connection, Frame
from relay.metrics import Traffic
from relay.realtime import endings
from relay.realtime.core import SessionCore
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.effects import Effect, ToClient
from relay.realtime.endings import Ending
from relay.realtime.events import (
    AUDIO_DELTA,
    AUDIO_HEADS,
    HEAD_BYTES,
    TEXT_HEADS,
    BadEvent,
    audio_length,
    decoded_audio_length,
    forwardable_append,
    sniff,
    text_delta,
)
from relay.session.output import (
    AudioMonitor,
    ClientOutput,
    MonitoredOutput,
    MutedOutput,
    monitored_send,
)

EARLY_BYTES: Final = (
    1024 * 1024
)  # about 16 s of audio; beyond it the client is paused, none is lost
EARLY_FRAMES: Final = 2048  # the same for small ones: bounds what Python's objects cost

_CLIENT_ENDINGS: Final = {
    1000: endings.CLIENT_LEFT,
    1001: endings.CLIENT_LEFT,
    1005: endings.CLIENT_LEFT,
    1002: endings.PROTOCOL_ERROR,
    1003: endings.BINARY_REFUSED,
    1007: endings.NOT_UTF8,
    1009: endings.FRAME_TOO_BIG,
    1011: endings.INTERNAL_ERROR,
}


def ending_of(code: int) -> Ending:
    """Why a client is gone, by the close code of whoever closed."""
    return _CLIENT_ENDINGS.get(code, endings.CLIENT_LOST if code == 1006 else endings.CLIENT_LEFT)


class SessionShell(Protocol):
    """What a direction asks of its session."""

    conversation: SessionCore
    clock: Callable[[], float]
    traffic: Traffic

    def act(self, actions: list[Effect]) -> None:
        """Carry out what the rules answered."""

    def end(self, ending: Ending) -> None:
        """End the session; the first ending wins."""

    def fault(self, error: Exception) -> None:
        """A fault of ours: this session ends, and no other."""

    def rearm(self) -> None:
        """A deadline may have come nearer."""


class ClientLink:
    """Client to engine. Holds what comes before the engine is ready, then delivers it in order.

    What the hot path touches is kept in slots of its own: with hundreds of sessions every object
    that a frame passes through costs more than the code that runs.
    """

    __slots__ = (
        "_early",
        "_early_bytes",
        "_full",
        "_send",
        "_shell",
        "_tap",
        "_traffic",
        "client",
        "engine",
    )

    def __init__(self, shell: SessionShell, client: Connection) -> None:
        self._shell = shell
        self._traffic = shell.traffic
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._full = False
        self._send: Callable[[Frame], None] | None = None
        self._tap: AudioMonitor | None = None
        self.client = client
        self.engine: Connection | None = None

    def open(self, engine: Connection) -> None:
        """The engine is ready: what was held goes up now, then the client is read again."""
        self.engine = engine
        self.listen(self._tap)
        self.client.resume()  # before the rest: an engine that this fills pauses the client again
        early, self._early = self._early, []
        for frame in early:
            self._relay(frame, engine.send)

    def listen(self, tap: AudioMonitor | None) -> None:
        """From now on this tap hears the client's sound; None takes it out."""
        self._tap = tap
        if self.engine is not None:
            send = self.engine.send
            self._send = send if tap is None else monitored_send(send, tap)

    def frame(self, frame: Frame) -> None:
        """One event of the client's."""
        traffic = self._traffic
        traffic.frames_up += 1
        traffic.bytes_up += len(frame)
        if self._send is not None:
            self._relay(frame, self._send)
        else:
            self._hold(frame)

    def _hold(self, frame: Frame) -> None:
        self._early.append(bytes(frame))
        self._early_bytes += len(frame)
        if self._early_bytes > EARLY_BYTES or len(self._early) > EARLY_FRAMES:
            self.client.pause()

    def _relay(self, frame: Frame, send: Callable[[Frame], None]) -> None:
        shell = self._shell
        try:
            audio = forwardable_append(frame)
            if audio is not None:
                send(audio)
            else:
                self._act(shell.conversation.from_client(frame, shell.clock()))
        except BadEvent as bad:
            self._act([shell.conversation.refuse(bad)])
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this session alone
            shell.fault(error)

    def _act(self, actions: list[Effect]) -> None:
        """Who sends without reading gets no answers of ours: they would wait in our memory."""
        if self._full:
            actions = [action for action in actions if not isinstance(action, ToClient)]
        self._shell.act(actions)

    def writable(self, ready: bool) -> None:
        """The client reads too slowly: the engine waits, the learner's own audio does not."""
        self._full = not ready
        self._shell.conversation.deadlines.client_writable(ready, self._shell.clock())
        if self.engine is not None:
            (self.engine.resume if ready else self.engine.pause)()
        self._shell.rearm()

    def closed(self, code: int, reason: str) -> None:
        """The client is gone, by its own wish or not."""
        self._shell.end(ending_of(code))


class EngineLink:
    """Engine to client: audio frames pass as they are, the rules read everything else."""

    __slots__ = ("_client", "_down", "_other", "_shell", "_traffic", "_transcript", "outlet")

    def __init__(
        self, shell: SessionShell, client: Connection, outlet: ClientOutput, view: ClientDialect
    ) -> None:
        self._shell = shell
        self._traffic = shell.traffic
        self._transcript = shell.conversation.transcript
        self._client = client
        self.outlet = outlet
        self._other = outlet.other
        self._down = view.down

    def frame(self, frame: Frame) -> None:
        """One event of the engine's."""
        traffic = self._traffic
        traffic.frames_down += 1
        traffic.bytes_down += len(frame)
        try:
            head = bytes(frame[:HEAD_BYTES])
            if head.startswith(TEXT_HEADS) and (word := text_delta(frame)) is not None:
                self._transcript.add_text(word)
                seen = self._down(frame, word.type, None)
                if seen is not None:
                    self._other(seen)
            elif head.startswith(AUDIO_HEADS):
                self._sound(frame, *audio_length(head, len(frame)))
            elif (kind := sniff(frame)) == AUDIO_DELTA:  # its keys stand in another order
                self._sound(frame, *decoded_audio_length(frame))
            else:
                shell = self._shell
                shell.act(shell.conversation.from_engine(frame, kind, shell.clock()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this session alone
            self._shell.fault(error)

    def _sound(self, frame: Frame, item_id: str, ms: int) -> None:
        self._transcript.add_audio(item_id, ms)
        seen = self._down(frame, AUDIO_DELTA, None)
        if seen is not None:
            self.outlet.sound(seen, item_id, ms, self._shell.clock())

    def writable(self, ready: bool) -> None:
        """The engine reads too slowly: the client waits."""
        self._shell.conversation.deadlines.engine_writable(ready, self._shell.clock())
        (self._client.resume if ready else self._client.pause)()
        self._shell.rearm()

    def closed(self, code: int, reason: str) -> None:
        """The engine is gone; its own code and reason are never passed on."""
        self._shell.end(endings.ENGINE_CLOSED)


class CloseObserver:
    """Tells when the receiver's peer is gone, whoever closed it."""

    __slots__ = ("_gone", "_receiver", "frame", "writable")

    def __init__(self, receiver: ClientLink | EngineLink, gone: Callable[[], None]) -> None:
        self._receiver = receiver
        self._gone = gone
        self.frame = receiver.frame  # bound once: no extra call on the hot path
        self.writable = receiver.writable

    def closed(self, code: int, reason: str) -> None:
        """Exactly once a peer (see `Connection`)."""
        self._receiver.closed(code, reason)
        self._gone()


# ---- Which way a session's frames go down just now: listened to or not, the model's sound or none.


class OutputSwitch:
    """`plain` is the way past every tap and mute, `outlet` the one for what is not the model's."""

    def __init__(self, plain: ClientOutput, up: ClientLink) -> None:
        self.plain = plain
        self.outlet = plain
        self._up = up
        self._down: EngineLink | None = None
        self._is_muted = False

    def lead(self, down: EngineLink) -> None:
        """The engine is there, and this is its direction."""
        self._down = down
        self.silence(self._is_muted)

    def silence(self, muted: bool) -> None:
        """Whether the model's sound is for nobody."""
        self._is_muted = muted
        if self._down is not None:
            self._down.outlet = MutedOutput(self.outlet) if muted else self.outlet

    def listen(self, tap: AudioMonitor | None) -> None:
        """From now on this tap hears both directions; None takes it out."""
        self._up.listen(tap)
        self.outlet = self.plain if tap is None else MonitoredOutput(self.plain, tap)
        self.silence(self._is_muted)

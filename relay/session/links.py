"""The two directions of a session: each link owns one connection, and can be given another."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from relay.interfaces import Connection, Frame
from relay.metrics import Traffic
from relay.realtime import endings
from relay.realtime.core import SessionCore
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
    LearnerMonitor,
    OutputSwitch,
    Send,
    discard,
    monitored_send,
)

EARLY_BYTES: Final = 1024 * 1024
"""Bytes of a client that are held until the engine is ready, about 16 s of audio. Beyond them the
client is paused, and nothing is lost."""
EARLY_FRAMES: Final = 2048
"""Frames that are held: small ones cost more memory as Python objects than as bytes."""

LOST: Final = 1006
"""The close code that stands for a connection without a close frame; it is never sent."""


class SessionCallbacks(Protocol):
    """The session, for the links and the coach bridge that it is made of."""

    core: SessionCore
    clock: Callable[[], float]
    traffic: Traffic

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the rules answered."""

    def end(self, ending: Ending) -> None:
        """End the session; the first ending wins."""

    def client_left(self, code: int) -> None:
        """The client has closed its connection with this code, 1006 if it is lost."""

    def engine_closed(self, code: int, reason: str) -> None:
        """The engine's connection is closed; its code and reason are the engine's own."""

    def fail(self, error: Exception) -> None:
        """End the session, and no other, for a fault of the relay's."""

    def rearm(self) -> None:
        """Compute the next deadline again: it may be nearer than before."""


class CloseWaiter:
    """A receiver that ignores everything but the end of its connection."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def frame(self, frame: Frame) -> None:
        """Ignored."""

    def writable(self, ready: bool) -> None:
        """Ignored."""

    def closed(self, code: int, reason: str) -> None:
        """The connection is closed."""
        self.gone.set()


class ClientLink:
    """Client to engine. Holds what comes before the engine is ready, then sends it in order.

    What the hot path touches is kept in slots of its own: with hundreds of sessions every object
    that a frame passes through costs more than the code that runs. `gone` is set while there is no
    open connection; `engine` is None until the engine is ready.
    """

    __slots__ = (
        "_early",
        "_early_bytes",
        "_is_full",
        "_is_paused",
        "_monitor",
        "_output",
        "_probe",
        "_send",
        "_session",
        "_traffic",
        "connection",
        "engine",
        "gone",
    )

    def __init__(self, session: SessionCallbacks, output: OutputSwitch) -> None:
        self._session = session
        self._output = output
        self._traffic = session.traffic
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._is_full = False
        self._is_paused = False
        self._monitor: AudioMonitor | None = None
        self._probe: LearnerMonitor | None = None
        self._send: Send | None = None
        self.connection: Connection | None = None
        self.engine: EngineLink | None = None
        self.gone = asyncio.Event()
        self.gone.set()

    @property
    def waiting(self) -> int:
        """Bytes that are held: the client's until the engine is ready, and its paced audio."""
        return self._early_bytes + self._output.plain.waiting

    def attach(self, connection: Connection) -> None:
        """Relay this connection's frames, and send it what is for the client, from now on."""
        self.connection = connection
        self.gone.clear()
        self._output.connect(connection.send)
        if self._is_paused:
            connection.pause()
        connection.attach(self)

    def detach(self) -> Connection | None:
        """Let go of the connection, and return it open; nothing of it is relayed any more.

        What is for the client is dropped until another is attached.
        """
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.attach(CloseWaiter())
            self._output.connect(discard)
            self.gone.set()
            if self._is_full:
                self.writable(True)
        return connection

    def open(self, engine: "EngineLink") -> None:
        """The engine is ready: send what was held, then read the client again."""
        if engine.connection is None:
            return
        self.engine = engine
        self.monitor(self._monitor)
        self.resume()  # before the rest: an engine that this fills pauses the client again
        early, self._early, self._early_bytes = self._early, [], 0
        for frame in early:
            self._relay(frame, engine.connection.send)

    def hold(self) -> None:
        """The engine is gone: hold what comes until another is ready."""
        self.engine = None
        self._send = None

    def monitor(self, monitor: AudioMonitor | None) -> None:
        """Let this monitor hear the client's audio; None removes it."""
        self._monitor = monitor
        self._choose_send()

    def probe(self, probe: LearnerMonitor | None) -> None:
        """Let this hear the client's audio beside any monitor; None removes it."""
        self._probe = probe
        self._choose_send()

    def _choose_send(self) -> None:
        if self.engine is None or self.engine.connection is None:
            return
        send: Send = self.engine.connection.send
        for listener in (self._monitor, self._probe):
            send = send if listener is None else monitored_send(send, listener)
        self._send = send

    def pause(self) -> None:
        """Stop reading the client."""
        self._is_paused = True
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        """Read the client again."""
        self._is_paused = False
        if self.connection is not None:
            self.connection.resume()

    def close(self, farewell: list[bytes], code: int, reason: str) -> None:
        """Close the connection after these last frames; what waits for an engine is dropped."""
        self._early, self._early_bytes = [], 0
        if self.connection is not None:
            for frame in farewell:
                self.connection.send(frame)
            self.connection.close(code, reason)

    def frame(self, frame: Frame) -> None:
        """Relay one event of the client's."""
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
            self.pause()

    def _relay(self, frame: Frame, send: Send) -> None:
        session = self._session
        try:
            audio = forwardable_append(frame)
            if audio is not None:
                send(audio)
            else:
                self._perform(session.core.from_client(frame, session.clock()))
        except BadEvent as bad:
            self._perform([session.core.refuse(bad)])
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this session alone
            session.fail(error)

    def _perform(self, effects: list[Effect]) -> None:
        """Perform effects; drop answers to a client that does not read: they would pile up."""
        if self._is_full:
            effects = [effect for effect in effects if not isinstance(effect, ToClient)]
        self._session.perform(effects)

    def writable(self, ready: bool) -> None:
        """A slow client stops the engine from being read, but the learner's audio goes on."""
        self._is_full = not ready
        self._session.core.deadlines.client_writable(ready, self._session.clock())
        if self.engine is not None:
            (self.engine.resume if ready else self.engine.pause)()
        self._session.rearm()

    def closed(self, code: int, reason: str) -> None:
        """The connection is closed, by either side."""
        self._early, self._early_bytes = [], 0
        self.gone.set()
        fault = self.connection.fault if self.connection is not None else None
        if fault is not None:
            self._session.end(fault)
        else:
            self._session.client_left(code)


class EngineLink:
    """Engine to client: audio frames pass as they are, the rules read everything else.

    `gone` is set while there is no open connection; `frames` counts what has come so far.
    """

    __slots__ = (
        "_client",
        "_is_full",
        "_is_paused",
        "_output",
        "_reported",
        "_session",
        "_to_client",
        "_traffic",
        "_transcript",
        "connection",
        "frames",
        "gone",
    )

    def __init__(self, session: SessionCallbacks, client: ClientLink, output: OutputSwitch) -> None:
        self._session = session
        self._traffic = session.traffic
        self._transcript = session.core.transcript
        self._reported = session.core.reported
        self._to_client = session.core.setup.dialect.down
        self._client = client
        self._output = output
        self._is_full = False
        self._is_paused = False
        self.frames = 0
        self.connection: Connection | None = None
        self.gone = asyncio.Event()
        self.gone.set()

    def attach(self, connection: Connection) -> None:
        """Relay this connection's frames from now on; the client's wait for `ClientLink.open`."""
        self.connection = connection
        self.gone.clear()
        if self._is_paused:
            connection.pause()
        connection.attach(self)

    def detach(self) -> Connection | None:
        """Let go of the connection, and return it open; nothing of it is relayed any more.

        The client's frames are held until another is ready.
        """
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.attach(CloseWaiter())
            self._client.hold()
            self.gone.set()
            if self._is_full:
                self.writable(True)
        return connection

    def send(self, frame: Frame) -> None:
        """Send one event of the relay's; dropped while no engine is connected."""
        if self.connection is not None:
            self.connection.send(frame)

    @property
    def is_read(self) -> bool:
        """Whether the engine's connection is being read."""
        return not self._is_paused

    def pause(self) -> None:
        """Stop reading the engine."""
        self._is_paused = True
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        """Read the engine again."""
        self._is_paused = False
        if self.connection is not None:
            self.connection.resume()

    def close(self, code: int, reason: str) -> None:
        """Close the connection; one that takes nothing more is aborted, with what waits for it."""
        if self.connection is not None:
            self.connection.close(LOST if self._is_full else code, reason)

    def frame(self, frame: Frame) -> None:
        """Relay one event of the engine's."""
        traffic = self._traffic
        traffic.frames_down += 1
        self.frames += 1
        traffic.bytes_down += len(frame)
        try:
            head = bytes(frame[:HEAD_BYTES])
            if head.startswith(TEXT_HEADS) and (word := text_delta(frame)) is not None:
                self._transcript.add_text(word)
                seen = self._to_client(frame, word.type, None)
                if seen is not None:
                    self._output.other(seen)
            elif head.startswith(AUDIO_HEADS):
                self._audio(frame, *audio_length(head, len(frame)))
            elif (kind := sniff(frame)) == AUDIO_DELTA:  # its keys stand in another order
                self._audio(frame, *decoded_audio_length(frame))
            else:
                session = self._session
                session.perform(session.core.from_engine(frame, kind, session.clock()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this session alone
            self._session.fail(error)

    def _audio(self, frame: Frame, item_id: str, characters: int) -> None:
        if not item_id:  # it stands after the sound
            item_id, characters = decoded_audio_length(frame)
        reported = self._reported
        rate = reported.rate_of(item_id) if reported.own_formats else reported.characters_per_3_ms
        ms = characters * 3 // rate
        self._transcript.add_audio(item_id, ms)
        seen = self._to_client(frame, AUDIO_DELTA, None)
        if seen is not None:
            self._output.model.audio(seen, item_id, ms, self._session.clock())

    def writable(self, ready: bool) -> None:
        """A slow engine stops the client from being read."""
        self._is_full = not ready
        self._session.core.deadlines.engine_writable(ready, self._session.clock())
        (self._client.resume if ready else self._client.pause)()
        self._session.rearm()

    def closed(self, code: int, reason: str) -> None:
        """The connection is closed; the engine's own code and reason are never passed on."""
        self.gone.set()
        if self.connection is not None and self.connection.fault == endings.OUT_OF_MEMORY:
            self._session.end(endings.OUT_OF_MEMORY)
        else:
            self._session.engine_closed(code, reason)

"""Drives a machine by hand: a clock that only moves when told, parts that work when asked."""

import asyncio
import base64
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from relay.engines.cascade.effects import (
    CancelWork,
    Close,
    Effect,
    Emit,
    NewId,
    StartWork,
    WorkRequest,
)
from relay.engines.cascade.engine import PartsWorker, SessionMachine, Unobserved
from relay.engines.cascade.machine import Machine, Opening
from relay.engines.cascade.outputs import Pace
from relay.engines.cascade.part_usage import PartModels
from relay.parts.interfaces import (
    FailureCode,
    PartFailed,
    PartKind,
    Parts,
    Reply,
    ReplyRequest,
    TranscriptionRequest,
)
from relay.parts.simple import Script, scripted_parts, silence, tone

Event = dict[str, Any]

DELTAS = (
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
    "conversation.item.input_audio_transcription.delta",
)
NO_TURNS = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
TRANSCRIBED = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
}
TEXT = {"type": "realtime", "output_modalities": ["text"]}
UNIX = 1_785_214_050

Shape = Callable[[Opening, Callable[[Opening], Machine], NewId], SessionMachine]
"""Makes a session's rules out of its opening and what makes a machine."""

_SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


class Talk:
    """One session with a machine; what it answered is in `events`, its open work in `work`."""

    def __init__(
        self,
        parts: Parts | None = None,
        *,
        model: str = "gpt-realtime",
        pace: Pace | None = None,
        shape: Shape | None = None,
    ) -> None:
        self.parts = parts or scripted_parts()
        self.now = 100.0
        self.events: list[Event] = []
        self.work: list[StartWork] = []
        self.cancelled: list[int] = []
        self.replies_at_once = True
        self.responder = self.parts.make_responder()
        self.closed: Close | None = None
        counters: dict[str, itertools.count[int]] = {}

        def new_id(prefix: str) -> str:
            number = next(counters.setdefault(prefix, itertools.count(1)))
            return f"{prefix}_{number:021d}"

        def made(opening: Opening) -> Machine:
            return Machine(opening, self.parts.make_speech_detector(), new_id)

        models = PartModels(
            self.parts.transcriber.name,
            self.responder.name,
            self.parts.synthesizer.name,
            self.parts.billed,
        )
        opening = Opening(model, UNIX, pace or Pace(), servers=self.parts.servers, models=models)
        self.check = valid if shape is None else as_read
        self.machine: Any = made(opening) if shape is None else shape(opening, made, new_id)
        self._note(self.machine.begin(self.now))

    def say(self, kind: str, **fields: Any) -> list[Event]:
        """Send one client event; returns what was answered at once."""
        return self.send({"type": kind, **fields})

    def send(self, event: Any) -> list[Event]:
        """Send any JSON."""
        return self.frame(msgspec.json.encode(event))

    def frame(self, frame: bytes) -> list[Event]:
        """Send any bytes."""
        return self._note(self.machine.receive(frame, self.now))

    def append(self, pcm: bytes) -> list[Event]:
        """Send audio in one event."""
        audio = base64.b64encode(pcm).decode()
        return self.say("input_audio_buffer.append", audio=audio)

    def speak(self, ms: int = 1000, pause_ms: int = 1000) -> list[Event]:
        """Send a voice and the silence that ends the turn."""
        return self.append(tone(ms) + silence(pause_ms))

    def type(self, text: str, **fields: Any) -> list[Event]:
        """Send a typed message."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        return self.say("conversation.item.create", item=item, **fields)

    def do_work(self) -> list[Event]:
        """Let the parts do what they were asked."""
        answered: list[Event] = []
        while self.work:
            answered += self._do(self.work.pop(0))
        return answered

    def _do(self, effect: StartWork) -> list[Event]:
        answered: list[Event] = []
        failure: PartFailed | None = None
        try:
            for piece in asyncio.run(self._pieces(effect.request)):
                answered += self._note(self.machine.progress(effect.id, piece, self.now))
        except PartFailed as failed:
            failure = failed
        return answered + self._note(self.machine.finish(effect.id, failure, self.now))

    def fail_work(self, code: FailureCode = "failed") -> list[Event]:
        """Let the parts fail at what they were asked."""
        answered: list[Event] = []
        work, self.work = self.work, []
        for effect in work:
            failure = PartFailed(part_of(effect.request), code)
            answered += self._note(self.machine.finish(effect.id, failure, self.now))
        return answered

    async def _pieces(self, request: WorkRequest) -> list[Any]:
        worker = PartsWorker(self.parts, self.responder, Unobserved())
        return [piece async for piece in worker.run(request)]

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass, with everything that comes due in it."""
        until = self.now + seconds
        answered = self.do_work()
        while self.closed is None and (due := self.machine.deadline(self.now)) <= until:
            self.now = max(self.now, due)
            answered += self._note(self.machine.tick(self.now))
            answered += self.do_work()
        self.now = until
        return answered

    def finish(self) -> list[Event]:
        """Let all answers be given."""
        return self.wait(60.0)

    def of(self, kind: str) -> list[Event]:
        """Return the events of one type so far."""
        return [event for event in self.events if event["type"] == kind]

    def last(self, kind: str) -> Event:
        """Return the latest event of one type."""
        return self.of(kind)[-1]

    def forget(self) -> None:
        """Forget the events so far."""
        self.events.clear()

    def _note(self, effects: Iterable[Effect]) -> list[Event]:
        answered: list[Event] = []
        for effect in effects:
            assert self.closed is None, "nothing comes after the end"
            match effect:
                case Emit(event):
                    answered.append(self.check(event))
                case Close():
                    self.closed = effect
                case CancelWork(number):
                    self.cancelled.append(number)
                    self.work = [work for work in self.work if work.id != number]
                case StartWork():
                    self.work.append(effect)
        self.events += answered
        return answered + (self._reply() if self.replies_at_once else [])

    def _reply(self) -> list[Event]:
        """Let the responder answer: a script needs no time."""
        answered: list[Event] = []
        while asked := [one for one in self.work if isinstance(one.request, ReplyRequest)]:
            self.work.remove(asked[0])
            answered += self._do(asked[0])
        return answered


def part_of(request: WorkRequest) -> PartKind:
    """Return which part does this."""
    if isinstance(request, TranscriptionRequest):
        return "transcriber"
    return "responder" if isinstance(request, ReplyRequest) else "synthesizer"


def scripted(*heard: str, replies: tuple[str | Reply, ...] = ("You said: {heard}",)) -> Parts:
    """Return parts with these transcripts and replies."""
    return scripted_parts(Script(heard=heard or ("Hello there.",), replies=replies))


def types(events: Iterable[Event]) -> list[str]:
    """Return the events' types, a run of deltas of one kind as one entry with a star."""
    names: list[str] = []
    for event in events:
        name = event["type"] + ("*" if event["type"] in DELTAS else "")
        if not names or names[-1] != name or not name.endswith("*"):
            names.append(name)
    return names


def without_deltas(events: Iterable[Event]) -> list[str]:
    """Return the types of all events but deltas."""
    return [event["type"] for event in events if event["type"] not in DELTAS]


def as_read(event: Event) -> Event:
    """Return a copy of an event as a client reads it."""
    read: Event = msgspec.json.decode(msgspec.json.encode(event))
    return read


def valid(event: Event) -> Event:
    """Return a copy of an event as a client reads it, checked against OpenAI's own types."""
    read = as_read(event)
    assert list(read)[:2] == ["type", "event_id"]
    assert read["event_id"].startswith("event_")
    _SERVER_EVENT.validate_python(read)
    return read

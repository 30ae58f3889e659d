"""The server's side of one Realtime session, pure: client events and the time in, effects out."""

import copy
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.engines.cascade import items
from relay.engines.cascade import settings as config
from relay.engines.cascade import validation as clientevents
from relay.engines.cascade.effects import Close, Effect, EffectBuffer, Event, NewId, RequestRefused
from relay.engines.cascade.input import InputAudio, Started, Stopped, Transcripts, TurnListener
from relay.engines.cascade.items import CascadeItem, ItemList
from relay.engines.cascade.outputs import Listing, Pace
from relay.engines.cascade.responses import ResponseScheduler
from relay.engines.cascade.settings import Request, Settings, request
from relay.interfaces import Frame
from relay.parts.interfaces import Responder, Revise, Servers, SpeechDetector, as_it_is

# ---- What a session's settings ask of its rules: how to listen, when to speak, what to write down.


def listening(settings: Settings) -> TurnListener:
    """Return how turns are found."""
    prefix_ms = _turns(settings).get("prefix_padding_ms", config.PREFIX_MS)
    return TurnListener(config.silence_ms(settings), prefix_ms)


def interrupts(settings: Settings) -> bool:
    """Tell whether a voice stops the answer that runs."""
    return bool(_turns(settings).get("interrupt_response"))


def answers(settings: Settings) -> bool:
    """Tell whether the end of a turn begins an answer."""
    return bool(_turns(settings).get("create_response"))


def idle_ms(settings: Settings) -> int | None:
    """Return how long a user may say nothing before the model speaks, None for ever."""
    timeout: int | None = _turns(settings).get("idle_timeout_ms")
    return timeout


def transcriber(settings: Settings) -> str | None:
    """Return the model from which a client is promised its user's words, None for none."""
    transcription = settings["audio"]["input"]["transcription"]
    return str(transcription["model"]) if transcription else None


def _turns(settings: Settings) -> Settings:
    return settings["audio"]["input"]["turn_detection"] or {}


# ---- What a client does to the items of its conversation: create, retrieve, truncate, delete.

MAX_EARLY = 64
"""Outputs of functions that may wait for the end of a response; one more is refused."""


class ItemEvents:
    """The events about items, over the conversation and what is written down of it."""

    def __init__(
        self,
        conversation: ItemList,
        transcripts: Transcripts,
        answering: ResponseScheduler,
        out: EffectBuffer,
    ) -> None:
        self._conversation = conversation
        self._transcripts = transcripts
        self._answering = answering
        self._out = out
        self._early: deque[Event] = deque()

    def create(self, event: Event, model: str | None) -> None:
        """Add the client's item; `model` writes down what is said in it. Raises `RequestRefused`.

        The output of a function that comes while a response runs joins after it (PROTOCOL §4.6).
        """
        item = items.from_client(event["item"], "item", self._out.new_id)
        place = self._conversation.place(event.get("previous_item_id"))
        if item.body["type"] == "function_call_output" and self._answering.running:
            if len(self._early) >= MAX_EARLY:
                raise RequestRefused(
                    "rate_limit_exceeded", "Too many outputs wait for this response."
                )
            self._early.append(event)
            return
        self.add(item, place, model)
        if item.body["type"] == "mcp_approval_response":
            self._answering.decide(item.body["approval_request_id"], item.body["approve"])

    def settle(self, model: str | None) -> None:
        """Add what has waited for the end of a response."""
        while self._early and not self._answering.running:
            event = self._early.popleft()
            try:
                self.create(event, model)
            except RequestRefused as refusal:
                self._out.refuse(refusal, event.get("event_id"))

    def add(self, item: CascadeItem, place: int | None, model: str | None) -> None:
        """Put an item in its place (the end), and have it written down where it is sound."""
        previous = self._conversation.add(item, place)
        body = copy.deepcopy(item.body)
        self._out.emit("conversation.item.added", previous_item_id=previous, item=body)
        self._out.emit("conversation.item.done", previous_item_id=previous, item=body)
        if item.words is None:
            self._transcripts.ask(item, model)

    def retrieve(self, event: Event, now: float) -> None:
        """Show an item as it is; raises `RequestRefused`."""
        code = "item_retrieve_invalid_item_id"
        item = self._conversation.get(event["item_id"], "retrieving", code)
        self._out.emit("conversation.item.retrieved", item=items.retrieved(item))

    def truncate(self, event: Event, now: float) -> None:
        """Cut an answer to what was heard; raises `RequestRefused`."""
        code = "item_truncate_invalid_item_id"
        item = self._conversation.get(event["item_id"], "truncating", code)
        items.truncate(item, event["audio_end_ms"])
        self._out.emit(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=0,
            audio_end_ms=event["audio_end_ms"],
        )

    def delete(self, event: Event, now: float) -> None:
        """Forget an item; raises `RequestRefused`."""
        code = "item_delete_invalid_item_id"
        item = self._conversation.get(event["item_id"], "deleting", code)
        self._conversation.delete(item)
        self._out.emit("conversation.item.deleted", item_id=item.id)


# ---- When a user who says nothing is spoken to: `idle_timeout_ms` (PROTOCOL §4.9).

_PROMPT = (
    "No user speech was detected for a while. Ask shortly whether the user is still there, or go "
    "on with the conversation."
)


class Idle:
    """The time at which silence has lasted too long; infinity while nobody waits for the user."""

    def __init__(self) -> None:
        self.due = math.inf

    def wait(self, now: float, audio_ms: int, timeout_ms: int | None) -> None:
        """An answer with so much sound has ended: it is still being heard, then the user's turn."""
        self.due = math.inf if timeout_ms is None else now + (audio_ms + timeout_ms) / 1000

    def stop(self) -> None:
        """Somebody speaks."""
        self.due = math.inf


def prompt(item_id: str) -> CascadeItem:
    """Return the system's message that makes a model speak first."""
    content = [{"type": "input_text", "text": _PROMPT}]
    body = {"id": item_id, "type": "message", "status": "completed", "role": "system"}
    return CascadeItem({**body, "content": content}, words=_PROMPT)


EXPIRED = "Your session hit the maximum duration of 60 minutes."


@dataclass(frozen=True, slots=True)
class Opening:
    """How a session begins: the model asked for, Unix seconds, and the pace of its answers.

    `seconds` is how long it may live, `servers` what the MCP servers it may name offer, and
    `revise` what becomes of its brain's replies.
    """

    model: str
    unix: int
    pace: Pace
    seconds: float = config.SESSION_SECONDS
    servers: Servers = field(default_factory=dict)
    revise: Revise = as_it_is


class Machine:
    """One session. Every method returns what to do next, in order; `deadline` says when to tick.

    Nothing may be asked of it after a `Close`.
    """

    def __init__(
        self, opening: Opening, ear: SpeechDetector, brain: Responder, new_id: NewId
    ) -> None:
        self._out = out = EffectBuffer(new_id)
        expires_at = opening.unix + math.ceil(opening.seconds)
        self._settings = config.opening(new_id("sess"), opening.model, expires_at)
        self._conversation = known = ItemList(new_id("conv"))
        self._input = InputAudio(ear, new_id)
        self._transcripts = Transcripts(out)
        self._answering = ResponseScheduler(brain, known, out, opening.pace, opening.revise)
        self._items = ItemEvents(known, self._transcripts, self._answering, out)
        self._listing = Listing(opening.servers, known, out)
        self._idle = Idle()
        self._seconds = opening.seconds
        self._ends_at = math.inf
        self._handlers: Mapping[str, Callable[[Event, float], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._items.retrieve,
            "conversation.item.truncate": self._items.truncate,
            "conversation.item.delete": self._items.delete,
            "response.create": self._create_response,
            "response.cancel": self._cancel,
        }

    def begin(self, now: float) -> list[Effect]:
        """Open the session: `session.created`."""
        self._ends_at = now + self._seconds
        self._out.emit("session.created", session=self._settings)
        return self._out.take()

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """Carry out one client event, or answer with an `error` event."""
        event: Any = None
        try:
            event = clientevents.decode(frame)
            checked = clientevents.check(event)
            self._handlers[checked["type"]](checked, now)
        except RequestRefused as refusal:
            self._out.refuse(refusal, clientevents.event_id(event))
        return self._done()

    def transcribed(self, item_id: str, text: str | None, now: float) -> list[Effect]:
        """Take what the recogniser understood of an item: "" for nothing, None when it failed."""
        item = self._transcripts.arrived(item_id, text)
        if item is not None:
            self._answering.heard(item, now)
        return self._done()

    def spoken(self, response_id: str, output: int, pcm: bytes | None, now: float) -> list[Effect]:
        """Take the sound of one output of an answer, None when the mouth failed."""
        if pcm is None:
            self._answering.fail(response_id, "The answer could not be spoken.")
        else:
            self._answering.spoken(response_id, output, pcm, now)
        return self._done()

    def tick(self, now: float) -> list[Effect]:
        """Do what has come due."""
        if now >= self._ends_at:
            self._ends_at = math.inf
            self._out.refuse(RequestRefused("session_expired", EXPIRED), None)
            self._out.do(Close(1001, EXPIRED))
            return self._out.take()
        silence = self._silence() if now >= self._idle.due else None
        heard_ms = self._answering.advance(now)
        if silence is not None:
            self._transcripts.nothing(silence, self._transcriber)
        if heard_ms is not None:
            self._idle.wait(now, heard_ms, idle_ms(self._settings))
        return self._done()

    def deadline(self, now: float) -> float:
        """Return when `tick` wants to be called next, on the clock that `now` is of."""
        return min(self._ends_at, self._idle.due, self._answering.deadline(now))

    @property
    def _transcriber(self) -> str | None:
        return transcriber(self._settings)

    def _done(self) -> list[Effect]:
        self._items.settle(self._transcriber)
        return self._out.take()

    def _update(self, event: Event, now: float) -> None:
        change = event["session"]
        self._settings = config.update(self._settings, change, spoke=self._answering.spoke)
        self._out.emit("session.updated", session=copy.deepcopy(self._settings))
        self._listing.update(self._settings["tools"])

    def _append(self, event: Event, now: float) -> None:
        pcm = clientevents.pcm(event)
        for happened in self._input.append(pcm, listening(self._settings)):
            if isinstance(happened, Started):
                self._start_turn(happened, now)
            else:
                self._stop_turn(happened)

    def _start_turn(self, turn: Started, now: float) -> None:
        self._idle.stop()
        self._out.emit(
            "input_audio_buffer.speech_started",
            audio_start_ms=turn.audio_start_ms,
            item_id=turn.item_id,
        )
        if interrupts(self._settings):
            self._answering.interrupt(now)

    def _stop_turn(self, turn: Stopped) -> None:
        self._out.emit(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=turn.audio_end_ms,
            item_id=turn.item_id,
        )
        self._commit_item(items.spoken_by_user(turn.item_id, turn.pcm))
        if answers(self._settings):
            self._answering.want(self._request({}))

    def _silence(self) -> CascadeItem | None:
        """Want an answer to a silence that lasted too long; returns its item (PROTOCOL §4.9)."""
        self._idle.stop()
        timeout_ms = idle_ms(self._settings)
        if timeout_ms is None or self._answering.running:
            return None
        silence = self._input.silence(timeout_ms)
        if silence is None:
            return None
        item_id, start_ms, end_ms, pcm = silence
        fields = {"audio_start_ms": start_ms, "audio_end_ms": end_ms, "item_id": item_id}
        self._out.emit("input_audio_buffer.timeout_triggered", **fields)
        self._items.add(prompt(self._out.new_id("item")), None, None)
        item = items.spoken_by_user(item_id, pcm)
        item.words = ""
        self._commit_item(item)
        self._answering.want(self._request({}))
        return item

    def _commit(self, event: Event, now: float) -> None:
        item_id, pcm = self._input.commit()
        self._idle.stop()
        self._commit_item(items.spoken_by_user(item_id, pcm))

    def _commit_item(self, item: CascadeItem) -> None:
        previous = self._conversation.last_id
        self._out.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item.id)
        self._items.add(item, None, self._transcriber)

    def _clear(self, event: Event, now: float) -> None:
        self._input.clear()
        self._out.emit("input_audio_buffer.cleared")

    def _create_item(self, event: Event, now: float) -> None:
        self._items.create(event, self._transcriber)

    def _create_response(self, event: Event, now: float) -> None:
        self._answering.create(self._request(event.get("response") or {}), now)

    def _cancel(self, event: Event, now: float) -> None:
        self._answering.cancel(event.get("response_id"), now)

    def _request(self, asked: Event) -> Request:
        return request(self._settings, asked, self._conversation, self._out.new_id)

"""The state machine of one session: client events and the time in, effects out. Sans-I/O.

It behaves as OpenAI's Realtime server (GA) does. `CascadeConnection` (in `engine`) calls it, and
carries out the effects: events to send, and work for the transcriber and the synthesizer, whose
results come back as `transcribed` and `synthesized`. The speech detector and the responder are
called from here, since they neither block nor await.

One spoken turn goes through it like this:

1. `input_audio_buffer.append`: `InputAudio` finds the end of a turn. Its audio becomes an item of
   the conversation, a `Transcribe` effect is added and a response is scheduled.
2. `tick`: `ResponseScheduler` begins the response, which waits for the transcript.
3. `transcribed`: the responder answers; a `Synthesize` effect is added for each message.
4. `synthesized`: the outputs can be sent. Each `tick` sends the pieces that are due.
"""

import copy
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.engines.cascade import items
from relay.engines.cascade.effects import Close, Effect, EffectBuffer, Event, NewId, RequestRefused
from relay.engines.cascade.input import InputAudio, Transcripts, TurnStarted, TurnStopped
from relay.engines.cascade.items import CascadeItem, ItemList
from relay.engines.cascade.outputs import McpToolListing, Pace
from relay.engines.cascade.responses import ResponseScheduler
from relay.engines.cascade.settings import (
    SESSION_SECONDS,
    creates_response,
    idle_timeout_ms,
    initial_settings,
    interrupts_response,
    response_request,
    transcription_model,
    turn_detection,
    update_settings,
)
from relay.engines.cascade.validation import audio_of, check_event, decode_event, event_id_of
from relay.interfaces import Frame
from relay.parts.interfaces import McpServers, Responder, Revise, SpeechDetector, unchanged

EXPIRED = "Your session hit the maximum duration of 60 minutes."

MAX_DEFERRED = 64
"""Outputs of functions that may wait for the end of a response; one more is refused."""

_IDLE_PROMPT = (
    "No user speech was detected for a while. Ask shortly whether the user is still there, or go "
    "on with the conversation."
)


@dataclass(frozen=True, slots=True)
class Opening:
    """Inputs of a new session: the model asked for, Unix seconds, and the pace of its answers.

    `seconds` is its longest life, `servers` are the MCP servers it may name, and `revise` changes
    the replies of its responder.
    """

    model: str
    unix: int
    pace: Pace
    seconds: float = SESSION_SECONDS
    servers: McpServers = field(default_factory=dict)
    revise: Revise = unchanged


class Machine:
    """One session. Every method returns its effects, in order; `deadline` says when to `tick`.

    Times are seconds on any monotonic clock. Nothing may be called after a `Close`.
    """

    def __init__(
        self,
        opening: Opening,
        speech_detector: SpeechDetector,
        responder: Responder,
        new_id: NewId,
    ) -> None:
        self._new_id = new_id
        self._out = out = EffectBuffer(new_id)
        expires_at = opening.unix + math.ceil(opening.seconds)
        self._settings = initial_settings(new_id("sess"), opening.model, expires_at)
        self._conversation = ItemList(new_id("conv"))
        self._input = InputAudio(speech_detector, new_id)
        self._transcripts = Transcripts(out)
        self._responses = ResponseScheduler(
            responder, self._conversation, out, opening.pace, opening.revise
        )
        self._mcp_tools = McpToolListing(opening.servers, self._conversation, out)
        self._deferred: deque[Event] = deque()  # function outputs that wait for a response's end
        self._idle_at = math.inf  # when the user's silence has lasted too long
        self._seconds = opening.seconds
        self._expires_at = math.inf
        self._handlers: Mapping[str, Callable[[Event, float], None]] = {
            "session.update": self._update_session,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "conversation.item.delete": self._delete_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }

    def begin(self, now: float) -> list[Effect]:
        """Open the session: `session.created`."""
        self._expires_at = now + self._seconds
        self._out.emit("session.created", session=self._settings)
        return self._out.take()

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """Carry out one client event, or answer with an `error` event."""
        event: Any = None
        try:
            event = decode_event(frame)
            checked = check_event(event)
            self._handlers[checked["type"]](checked, now)
        except RequestRefused as refusal:
            self._out.refuse(refusal, event_id_of(event))
        return self._finish_step(now)

    def transcribed(self, item_id: str, text: str | None, now: float) -> list[Effect]:
        """Take the transcript of an item: "" for no words, None when it failed."""
        item = self._transcripts.resolve(item_id, text)
        if item is not None:
            self._responses.transcribed(item, now)
        return self._finish_step(now)

    def synthesized(
        self, response_id: str, output: int, pcm: bytes | None, now: float
    ) -> list[Effect]:
        """Take the audio of one output of a response, None when it failed."""
        if pcm is None:
            self._responses.fail(response_id, "The answer could not be spoken.")
        else:
            self._responses.synthesized(response_id, output, pcm, now)
        return self._finish_step(now)

    def tick(self, now: float) -> list[Effect]:
        """Do what has come due."""
        if now >= self._expires_at:
            self._expires_at = math.inf
            self._out.refuse(RequestRefused("session_expired", EXPIRED), None)
            self._out.do(Close(1001, EXPIRED))
            return self._out.take()
        silence = self._answer_silence() if now >= self._idle_at else None
        ended_audio_ms = self._responses.advance(now)
        if silence is not None:
            self._transcripts.complete_silence(silence, transcription_model(self._settings))
        if ended_audio_ms is not None:
            self._await_user(now, ended_audio_ms)
        return self._finish_step(now)

    def deadline(self, now: float) -> float:
        """Return the time of the next `tick`."""
        return min(self._expires_at, self._idle_at, self._responses.deadline(now))

    def _finish_step(self, now: float) -> list[Effect]:
        self._add_deferred(now)
        return self._out.take()

    # The session and its input audio.

    def _update_session(self, event: Event, now: float) -> None:
        change = event["session"]
        self._settings = update_settings(self._settings, change, spoke=self._responses.spoke)
        self._out.emit("session.updated", session=copy.deepcopy(self._settings))
        self._mcp_tools.update(self._settings["tools"])

    def _append(self, event: Event, now: float) -> None:
        for turn in self._input.append(audio_of(event), turn_detection(self._settings)):
            if isinstance(turn, TurnStarted):
                self._start_turn(turn, now)
            else:
                self._stop_turn(turn)

    def _start_turn(self, turn: TurnStarted, now: float) -> None:
        self._idle_at = math.inf
        self._out.emit(
            "input_audio_buffer.speech_started",
            audio_start_ms=turn.audio_start_ms,
            item_id=turn.item_id,
        )
        if interrupts_response(self._settings):
            self._responses.interrupt(now)

    def _stop_turn(self, turn: TurnStopped) -> None:
        self._out.emit(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=turn.audio_end_ms,
            item_id=turn.item_id,
        )
        self._add_committed(items.user_audio(turn.item_id, turn.pcm))
        if creates_response(self._settings):
            self._schedule_response()

    def _commit(self, event: Event, now: float) -> None:
        item_id, pcm = self._input.commit()
        self._idle_at = math.inf
        self._add_committed(items.user_audio(item_id, pcm))

    def _add_committed(self, item: CascadeItem) -> None:
        previous = self._conversation.last_id
        self._out.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item.id)
        self._add_item(item)

    def _clear(self, event: Event, now: float) -> None:
        self._input.clear()
        self._out.emit("input_audio_buffer.cleared")

    # A user who says nothing is spoken to: `idle_timeout_ms` (PROTOCOL §4.9).

    def _await_user(self, now: float, audio_ms: int) -> None:
        """Start to wait for the user, once the `audio_ms` of the answer that ended were heard."""
        timeout_ms = idle_timeout_ms(self._settings)
        self._idle_at = math.inf if timeout_ms is None else now + (audio_ms + timeout_ms) / 1000

    def _answer_silence(self) -> CascadeItem | None:
        """Schedule an answer to a silence that lasted too long; returns the silence's item."""
        self._idle_at = math.inf
        timeout_ms = idle_timeout_ms(self._settings)
        if timeout_ms is None or self._responses.running:
            return None
        silence = self._input.commit_silence(timeout_ms)
        if silence is None:
            return None
        item_id, start_ms, end_ms, pcm = silence
        fields = {"audio_start_ms": start_ms, "audio_end_ms": end_ms, "item_id": item_id}
        self._out.emit("input_audio_buffer.timeout_triggered", **fields)
        self._add_item(items.system_message(self._new_id("item"), _IDLE_PROMPT))
        item = items.user_audio(item_id, pcm)
        item.words = ""
        self._add_committed(item)
        self._schedule_response()
        return item

    # Items of the conversation.

    def _create_item(self, event: Event, now: float) -> None:
        """Add the client's item.

        A function output that arrives during a response is added after it (PROTOCOL §4.6).
        """
        item = items.from_client(event["item"], "item", self._new_id)
        place = self._conversation.place(event.get("previous_item_id"))
        if item.body["type"] == "function_call_output" and self._responses.running:
            self._defer(event)
            return
        self._add_item(item, place)
        if item.body["type"] == "mcp_approval_response":
            request_id, approved = item.body["approval_request_id"], item.body["approve"]
            self._responses.resolve_approval(request_id, approved)

    def _defer(self, event: Event) -> None:
        if len(self._deferred) >= MAX_DEFERRED:
            raise RequestRefused("rate_limit_exceeded", "Too many outputs wait for this response.")
        self._deferred.append(event)

    def _add_deferred(self, now: float) -> None:
        """Add the outputs of functions that have waited for the end of a response."""
        while self._deferred and not self._responses.running:
            event = self._deferred.popleft()
            try:
                self._create_item(event, now)
            except RequestRefused as refusal:
                self._out.refuse(refusal, event.get("event_id"))

    def _add_item(self, item: CascadeItem, place: int | None = None) -> None:
        """Add an item, at the end by default, and have it transcribed if it is audio."""
        previous = self._conversation.add(item, place)
        body = copy.deepcopy(item.body)
        self._out.emit("conversation.item.added", previous_item_id=previous, item=body)
        self._out.emit("conversation.item.done", previous_item_id=previous, item=body)
        if item.words is None:
            self._transcripts.request(item, transcription_model(self._settings))

    def _retrieve_item(self, event: Event, now: float) -> None:
        code = "item_retrieve_invalid_item_id"
        item = self._conversation.get(event["item_id"], "retrieving", code)
        self._out.emit("conversation.item.retrieved", item=items.body_with_audio(item))

    def _truncate_item(self, event: Event, now: float) -> None:
        code = "item_truncate_invalid_item_id"
        item = self._conversation.get(event["item_id"], "truncating", code)
        items.truncate(item, event["audio_end_ms"])
        self._out.emit(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=0,
            audio_end_ms=event["audio_end_ms"],
        )

    def _delete_item(self, event: Event, now: float) -> None:
        code = "item_delete_invalid_item_id"
        item = self._conversation.get(event["item_id"], "deleting", code)
        self._conversation.delete(item)
        self._out.emit("conversation.item.deleted", item_id=item.id)

    # Responses.

    def _create_response(self, event: Event, now: float) -> None:
        overrides = event.get("response") or {}
        request = response_request(self._settings, overrides, self._conversation, self._new_id)
        self._responses.create(request, now)

    def _schedule_response(self) -> None:
        request = response_request(self._settings, {}, self._conversation, self._new_id)
        self._responses.schedule(request)

    def _cancel_response(self, event: Event, now: float) -> None:
        self._responses.cancel(event.get("response_id"), now)

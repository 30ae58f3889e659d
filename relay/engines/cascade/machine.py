"""The state machine of one session: client events and the time in, effects out. Sans-I/O.

It behaves as OpenAI's Realtime server (GA) does. `CascadeConnection` (in `engine`) calls it, and
carries out the effects: events to send, and work for the transcriber, the responder and the
synthesizer, whose results come back as `progress` and `finish`. The speech detector is called from
here, since it neither blocks nor awaits.

One spoken turn goes through it like this:

1. `input_audio_buffer.append`: `InputAudio` finds a pause, and `Transcripts` begins early. If the
   user goes on, that is dropped. At the end of the turn its audio becomes an item of the
   conversation and a response is scheduled; a pause within an unfinished sentence may be longer.
2. `tick`: `ResponseScheduler` begins the response, which waits for the transcript.
3. The transcript is complete: the responder is asked. Its text comes in pieces, and each sentence
   goes to the synthesizer while the next is being written.
4. The audio of a sentence comes in pieces. Each `tick` sends those that are due.
"""

import copy
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.engines.cascade import items
from relay.engines.cascade.effects import (
    Close,
    Effect,
    EffectBuffer,
    Event,
    NewId,
    RequestRefused,
    Work,
)
from relay.engines.cascade.input import (
    InputAudio,
    TurnEvent,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    TurnStopped,
)
from relay.engines.cascade.items import CascadeItem, ItemList
from relay.engines.cascade.outputs import McpToolListing, Pace
from relay.engines.cascade.part_usage import PartModels, PartUsage
from relay.engines.cascade.responses import ResponseContext, ResponseScheduler
from relay.engines.cascade.settings import (
    SESSION_SECONDS,
    creates_response,
    idle_timeout_ms,
    initial_settings,
    interrupts_response,
    response_request,
    transcription,
    turn_detection,
    update_settings,
)
from relay.engines.cascade.transcripts import Transcripts
from relay.engines.cascade.validation import audio_of, check_event, decode_event, event_id_of
from relay.interfaces import Frame
from relay.parts.interfaces import McpServers, PartFailed, Revise, SpeechDetector
from relay.parts.sentences import looks_finished

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
    the replies of its responder. `models` names the models of the parts. `instructions` are those
    of a session whose client sets none.
    """

    model: str
    unix: int
    pace: Pace
    seconds: float = SESSION_SECONDS
    servers: McpServers = field(default_factory=dict)
    revise: Revise | None = None
    models: PartModels = field(default_factory=PartModels)
    instructions: str = ""


class Machine:
    """One session. Every method returns its effects, in order; `deadline` says when to `tick`.

    Times are seconds on any monotonic clock. Nothing may be called after a `Close`.
    """

    def __init__(self, opening: Opening, speech_detector: SpeechDetector, new_id: NewId) -> None:
        self._new_id = new_id
        self._out = out = EffectBuffer(new_id)
        expires_at = opening.unix + math.ceil(opening.seconds)
        self._settings = initial_settings(
            new_id("sess"), opening.model, expires_at, opening.instructions
        )
        self._conversation = ItemList(new_id("conv"))
        self._input = InputAudio(speech_detector, new_id)
        self._work = Work(out)
        heard = PartUsage(opening.models)
        self._transcripts = Transcripts(
            out, self._work, heard, self._early_transcript, self._transcribed
        )
        self._responses = ResponseScheduler(
            ResponseContext(
                self._conversation, out, self._work, opening.pace, heard, opening.revise
            )
        )
        self._hold_until = math.inf  # when a pause has been held for too long
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

    def progress(self, work: int, piece: Any, now: float) -> list[Effect]:
        """Take a piece of the result of some work."""
        self._work.progress(work, piece, now)
        return self._finish_step(now)

    def finish(self, work: int, failure: PartFailed | None, now: float) -> list[Effect]:
        """Take the end of some work: None when it succeeded."""
        self._work.finish(work, failure, now)
        return self._finish_step(now)

    def tick(self, now: float) -> list[Effect]:
        """Do what has come due."""
        if now >= self._expires_at:
            self._expires_at = math.inf
            self._out.refuse(RequestRefused("session_expired", EXPIRED), None)
            self._out.do(Close(1001, EXPIRED))
            return self._out.take()
        if now >= self._hold_until:
            self._end_pause(now)
        silence = self._answer_silence(now) if now >= self._idle_at else None
        ended_audio_ms = self._responses.advance(now)
        if silence is not None:
            self._transcripts.complete_silence(silence, transcription(self._settings).model)
        if ended_audio_ms is not None:
            self._await_user(now, ended_audio_ms)
        return self._finish_step(now)

    def deadline(self, now: float) -> float:
        """Return the time of the next `tick`."""
        due = (self._expires_at, self._idle_at, self._hold_until, self._responses.deadline(now))
        return min(due)

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
            self._take_turn(turn, now)

    def _take_turn(self, turn: TurnEvent, now: float) -> None:
        match turn:
            case TurnStarted():
                self._start_turn(turn, now)
            case TurnPaused(item_id, pcm):
                early = self._transcripts.begin_early(item_id, pcm, transcription(self._settings))
                self._hold(early, now)
            case TurnResumed():
                self._transcripts.drop_early()
                self._hold(False, now)
            case TurnStopped():
                self._hold(False, now)
                self._stop_turn(turn, now)

    def _hold(self, held: bool, now: float) -> None:
        """Wait in this pause for the early transcript, and longer if it is not finished."""
        self._input.hold(held)
        self._hold_until = now + self._input.hold_seconds if held else math.inf

    def _early_transcript(self, text: str, now: float) -> None:
        if looks_finished(text):
            self._end_pause(now)

    def _end_pause(self, now: float) -> None:
        self._hold_until = math.inf
        for turn in self._input.end_pause():
            self._take_turn(turn, now)

    def _transcribed(self, item: CascadeItem, now: float) -> None:
        self._responses.transcribed(item, now)

    def _start_turn(self, turn: TurnStarted, now: float) -> None:
        self._idle_at = math.inf
        self._out.emit(
            "input_audio_buffer.speech_started",
            audio_start_ms=turn.audio_start_ms,
            item_id=turn.item_id,
        )
        if interrupts_response(self._settings):
            self._responses.interrupt(now)

    def _stop_turn(self, turn: TurnStopped, now: float) -> None:
        self._out.emit(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=turn.audio_end_ms,
            item_id=turn.item_id,
        )
        self._add_committed(items.user_audio(turn.item_id, turn.pcm), now)
        if creates_response(self._settings):
            self._schedule_response()

    def _commit(self, event: Event, now: float) -> None:
        item_id, pcm = self._input.commit()
        self._idle_at = math.inf
        self._hold_until = math.inf
        self._add_committed(items.user_audio(item_id, pcm), now)

    def _add_committed(self, item: CascadeItem, now: float) -> None:
        previous = self._conversation.last_id
        self._out.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item.id)
        self._add_item(item, now)

    def _clear(self, event: Event, now: float) -> None:
        self._input.clear()
        self._transcripts.forget_turn()
        self._hold_until = math.inf
        self._out.emit("input_audio_buffer.cleared")

    # A user who says nothing is spoken to: `idle_timeout_ms` (PROTOCOL §4.9).

    def _await_user(self, now: float, audio_ms: int) -> None:
        """Start to wait for the user, once the `audio_ms` of the answer that ended were heard."""
        timeout_ms = idle_timeout_ms(self._settings)
        self._idle_at = math.inf if timeout_ms is None else now + (audio_ms + timeout_ms) / 1000

    def _answer_silence(self, now: float) -> CascadeItem | None:
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
        self._add_item(items.system_message(self._new_id("item"), _IDLE_PROMPT), now)
        item = items.user_audio(item_id, pcm)
        item.words = ""
        self._add_committed(item, now)
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
        self._add_item(item, now, place)
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

    def _add_item(self, item: CascadeItem, now: float, place: int | None = None) -> None:
        """Add an item, at the end by default, and have it transcribed if it is audio."""
        previous = self._conversation.add(item, place)
        body = copy.deepcopy(item.body)
        self._out.emit("conversation.item.added", previous_item_id=previous, item=body)
        self._out.emit("conversation.item.done", previous_item_id=previous, item=body)
        if item.words is None:
            self._transcripts.request(item, transcription(self._settings), now)

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

"""The responses of one session: their order, their answers and their events."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from relay.engines.cascade.effects import EffectBuffer, Event, RequestRefused, Synthesize
from relay.engines.cascade.items import (
    BYTES_PER_MS,
    CascadeItem,
    ItemList,
    input_tokens,
    response_usage,
    snapshot,
)
from relay.engines.cascade.outputs import (
    FunctionCallWriter,
    ItemWriter,
    McpWriter,
    MessageWriter,
    OutputSlot,
    Pace,
    needs_approval,
)
from relay.engines.cascade.settings import ResponseRequest
from relay.parts.interfaces import (
    COMPLETED,
    IN_PROGRESS,
    AudioResponder,
    FunctionCall,
    Interleaving,
    McpCall,
    OutOfBandResponder,
    Output,
    Reply,
    ReplyEnding,
    ReplyOccasion,
    Responder,
    Revise,
    SpokenMessage,
    as_reply,
    cancelled,
    failed,
    unchanged,
)

MAX_RUNNING = 8
"""Responses that run at once: one of the conversation, the others out of band."""

MAX_UNAPPROVED = 64
"""MCP calls that wait for the client's approval; the oldest is forgotten for one more."""

RATE_LIMIT_TOKENS = 15_000_000
"""The limit that `rate_limits.updated` reports; nothing is ever refused for it."""

_PIECES_PER_STEP = 8  # so that a client that reads slowly is noticed in between


class ResponseScheduler:
    """Starts, runs and ends the responses of one session.

    At most one of them belongs to the conversation; a turn that ends meanwhile is answered after
    it. `spoke` tells whether any response had audio: then the voice of the session stays.
    """

    def __init__(
        self,
        responder: Responder,
        conversation: ItemList,
        out: EffectBuffer,
        pace: Pace,
        revise: Revise = unchanged,
    ) -> None:
        self._responder = responder
        self._conversation = conversation
        self._out = out
        self._pace = pace
        self._revise = revise
        self._running: dict[str, Response] = {}
        self._waiting: ResponseRequest | None = None
        self._unapproved: dict[str, McpWriter] = {}
        self._begun = 0
        self.spoke = False

    @property
    def running(self) -> bool:
        """Tell whether the conversation's response runs."""
        return self._active is not None

    def deadline(self, now: float) -> float:
        """Return the time of the next `advance`, infinity when nothing runs."""
        due = [response.due for response in self._running.values()]
        if self._waiting and self._active is None:
            due.append(now)
        return min(due, default=math.inf)

    def schedule(self, request: ResponseRequest) -> None:
        """Answer the turn that just ended, at the next step or after the running response."""
        self._waiting = request

    def create(self, request: ResponseRequest, now: float) -> None:
        """Begin a response that the client asked for; raises `RequestRefused`."""
        self._begin_waiting(now)
        active = self._active
        if request.in_conversation and active is not None:
            raise RequestRefused(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        if len(self._running) >= MAX_RUNNING:
            raise RequestRefused("rate_limit_exceeded", "Too many responses are in progress.")
        self._begin(request, now)

    def cancel(self, response_id: str | None, now: float) -> None:
        """Stop a response for the client; raises `RequestRefused` when there is none."""
        self._begin_waiting(now)
        active = self._active if response_id is None else self._running.get(response_id)
        if active is None:
            raise RequestRefused(
                "response_cancel_not_active", "Cancellation failed: no active response found"
            )
        self._end(active, cancelled("client_cancelled"))

    def interrupt(self, now: float) -> None:
        """Stop the conversation's response, and the one that waits for it: the user speaks."""
        self._begin_waiting(now)
        self._waiting = None
        if self._active is not None:
            self._end(self._active, cancelled("turn_detected"))

    def transcribed(self, item: CascadeItem, now: float) -> None:
        """Continue the responses that waited for the transcript of this item."""
        for response in list(self._running.values()):
            if response.awaits == item.id:
                self._reply(response, item, now)

    def synthesized(self, response_id: str, output: int, pcm: bytes, now: float) -> None:
        """Continue a response with the audio of an output, unless it has ended meanwhile."""
        response = self._running.get(response_id)
        if response is not None:
            self.spoke = True
            response.synthesized(output, pcm, now)

    def fail(self, response_id: str, message: str) -> None:
        """End a response whose part failed."""
        response = self._running.get(response_id)
        if response is not None:
            self._end(response, failed("server_error", message))

    def resolve_approval(self, approval_request_id: str, approved: bool) -> None:
        """Take the client's decision about an MCP call; an unknown id is ignored."""
        call = self._unapproved.pop(approval_request_id, None)
        if call is not None:
            call.resolve_approval(approved)

    def advance(self, now: float) -> int | None:
        """Begin the waiting response and send what is due.

        Returns the ms of audio of the conversation's response when it ended in this step.
        """
        if self._active is None:
            self._begin_waiting(now)
        ended: int | None = None
        for response in list(self._running.values()):
            if response.advance(now):
                self._end(response, response.ending)
                ended = response.audio_ms if response.request.in_conversation else ended
        return ended

    @property
    def _active(self) -> Response | None:
        return next((r for r in self._running.values() if r.request.in_conversation), None)

    def _begin_waiting(self, now: float) -> None:
        if self._waiting is not None and self._active is None:
            request, self._waiting = self._waiting, None
            self._begin(request, now)

    def _begin(self, request: ResponseRequest, now: float) -> None:
        self._begun += 1
        occasion = ReplyOccasion(self._begun, self._conversation.turns)
        response = Response(request, occasion, self._conversation, self._out, self._pace)
        self._running[response.id] = response
        response.begin()
        prompt = self._prompt(request)
        if prompt is not None and prompt.words is None:
            response.awaits = prompt.id
        else:
            self._reply(response, prompt, now)

    def _prompt(self, request: ResponseRequest) -> CascadeItem | None:
        """Return the latest item that the response can answer."""
        known = self._conversation if request.input is None else request.input
        return next((item for item in reversed(list(known)) if item.can_prompt), None)

    def _reply(self, response: Response, prompt: CascadeItem | None, now: float) -> None:
        response.awaits = None
        try:
            reply = self._ask_responder(prompt, response.request)
        except Exception:  # noqa: BLE001 - a responder's fault fails one response, not the session
            self.fail(response.id, "No answer could be found.")
            return
        response.answer(self._revise(response.occasion, reply), now)

    def _ask_responder(self, prompt: CascadeItem | None, request: ResponseRequest) -> Reply:
        if prompt is not None and prompt.audio and isinstance(self._responder, AudioResponder):
            text, pcm = self._responder.reply_audio(prompt.audio)
            self.spoke = self.spoke or request.spoken
            return Reply((SpokenMessage(text, pcm=pcm),))
        words = (prompt.words if prompt else None) or ""
        if not request.in_conversation and isinstance(self._responder, OutOfBandResponder):
            return as_reply(self._responder.reply_out_of_band(words))
        return as_reply(self._responder.reply(words))

    def _end(self, response: Response, ending: ReplyEnding) -> None:
        del self._running[response.id]
        response.end(ending)
        self._unapproved.update(response.unapproved)
        while len(self._unapproved) > MAX_UNAPPROVED:
            del self._unapproved[next(iter(self._unapproved))]


class Response:
    """One response, from `response.created` to `response.done` (PROTOCOL §4).

    The scheduler gives it its reply and advances it. `awaits` is the id of the item whose
    transcript it waits for.
    """

    def __init__(
        self,
        request: ResponseRequest,
        occasion: ReplyOccasion,
        conversation: ItemList,
        out: EffectBuffer,
        pace: Pace,
    ) -> None:
        self.id = out.new_id("resp")
        self.request = request
        self.occasion = occasion
        self.awaits: str | None = None
        self.ending = COMPLETED
        self._conversation = conversation
        self._out = out
        self._pace = pace
        self._outputs = OutputInterleaver((), "in_turn")
        self._due = math.inf
        self._input_tokens = (0, 0)

    def begin(self) -> None:
        """Announce the response."""
        known = self._conversation if self.request.input is None else self.request.input
        self._input_tokens = input_tokens(self.request.instructions, known)
        self._out.emit("response.created", response=self._resource(IN_PROGRESS, None))

    def answer(self, reply: Reply, now: float) -> None:
        """Take the reply's outputs, and request synthesis of the spoken ones."""
        self.ending = reply.ending
        conversation = self._conversation if self.request.in_conversation else None
        first = OutputSlot(self.id, 0, conversation, self._out)
        writers = item_writers(reply.outputs, self.request, first, self._pace)
        self._outputs = OutputInterleaver(writers, reply.interleaving)
        for index, writer in enumerate(writers):
            if isinstance(writer, MessageWriter) and writer.delivery is None:
                self._out.do(Synthesize(self.id, index, writer.text, self.request.voice))
        self._set_due(now)

    def synthesized(self, output: int, pcm: bytes, now: float) -> None:
        """Take the audio of one of the outputs."""
        writer = self._outputs.writers[output]
        if isinstance(writer, MessageWriter):
            writer.deliver(pcm)
            self._set_due(now)

    @property
    def due(self) -> float:
        """Return when `advance` wants to be called, infinity while something is awaited."""
        return self._due if self._outputs.ready or self._outputs.finished else math.inf

    @property
    def audio_ms(self) -> int:
        """Return the ms of audio sent so far."""
        return self._outputs.audio_bytes // BYTES_PER_MS

    @property
    def unapproved(self) -> dict[str, McpWriter]:
        """Return the calls that wait for the client's approval, by the id of the request."""
        calls = [writer for writer in self._outputs.writers if isinstance(writer, McpWriter)]
        return {
            call.approval_request_id: call for call in calls if call.approval_request_id is not None
        }

    def advance(self, now: float) -> bool:
        """Send what is due; returns True when all outputs are sent (then `end` it)."""
        for _ in range(_PIECES_PER_STEP):
            if self.due > now:
                return False
            self._due += self._outputs.send_next()
            if self._outputs.finished:
                return True
        return False

    def end(self, ending: ReplyEnding) -> None:
        """Close the open items and announce the end."""
        self._outputs.close("completed" if ending.status == "completed" else "incomplete")
        usage = self._usage()
        self._out.emit("response.done", response=self._resource(ending, usage))
        if ending.status == "completed":
            remaining = RATE_LIMIT_TOKENS - usage["total_tokens"]
            limit = {"name": "tokens", "limit": RATE_LIMIT_TOKENS, "remaining": remaining}
            self._out.emit("rate_limits.updated", rate_limits=[{**limit, "reset_seconds": 0.001}])

    def _set_due(self, now: float) -> None:
        if self._outputs.begun:
            self._due = max(self._due, now)
        else:
            self._due = now + self._pace.delay_seconds

    def _usage(self) -> dict[str, Any]:
        first = self.occasion.response == 1
        words = self._outputs.word_count
        return response_usage(self._input_tokens, words, self.audio_ms, first=first)

    def _resource(self, ending: ReplyEnding, usage: Event | None) -> Event:
        request = self.request
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": ending.status,
            "status_details": ending.details,
            "output": [snapshot(item.body) for item in self._outputs.items],
            "conversation_id": self._conversation.id if request.in_conversation else None,
            "output_modalities": ["audio"] if request.spoken else ["text"],
            "max_output_tokens": request.max_output_tokens,
            "audio": {
                "output": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "voice": request.voice,
                }
            },
            "usage": usage,
            "metadata": request.metadata,
        }


def item_writers(
    outputs: Sequence[Output], request: ResponseRequest, first: OutputSlot, pace: Pace
) -> list[ItemWriter]:
    """Return the writers of a reply's outputs, each in its slot from the first on."""
    writers: list[ItemWriter] = []
    slot = first
    for output in outputs:
        match output:
            case SpokenMessage():
                writers.append(MessageWriter(slot, output, request.spoken, pace))
            case FunctionCall():
                writers.append(FunctionCallWriter(slot, output, pace))
            case McpCall():
                asks = needs_approval(request.tools, output.server_label, output.name)
                following = replace(slot, index=slot.index + 1)
                writers.append(McpWriter(slot, output, pace, following if asks else None))
                slot = following if asks else slot
        slot = replace(slot, index=slot.index + 1)
    return writers


class OutputInterleaver:
    """Sends the outputs of one response piece by piece, in the order of their interleaving."""

    def __init__(self, writers: Sequence[ItemWriter], interleaving: Interleaving) -> None:
        self.writers = writers
        self._interleaving = interleaving
        self._unsent = deque(writers)
        self._open: list[ItemWriter] = []

    @property
    def finished(self) -> bool:
        """Tell whether all pieces are sent; items may still be open."""
        return not self._unsent

    @property
    def ready(self) -> bool:
        """Tell whether the next piece can be sent, without waiting for a synthesis."""
        return self._next is not None

    @property
    def begun(self) -> bool:
        """Tell whether any item was announced."""
        return any(writer.items for writer in self.writers)

    @property
    def items(self) -> list[CascadeItem]:
        """Return the items that were announced."""
        return [item for writer in self.writers for item in writer.items]

    @property
    def word_count(self) -> int:
        """Return the number of words, or pieces of arguments, sent so far."""
        return sum(writer.delivery.word_count for writer in self.writers if writer.delivery)

    @property
    def audio_bytes(self) -> int:
        """Return the number of bytes of audio sent so far."""
        return sum(writer.delivery.audio_bytes for writer in self.writers if writer.delivery)

    def send_next(self) -> float:
        """Send the next piece; returns the seconds between it and the one after."""
        writer = self._next
        if writer is None or writer.delivery is None:
            return 0.0
        self._open_for(writer)
        for piece in writer.delivery.take():
            writer.write(piece)
        self._unsent.remove(writer)
        if writer.delivery.finished:
            self._close_finished()
        elif self._interleaving == "alternating":
            self._unsent.append(writer)
        else:
            self._unsent.appendleft(writer)
        return writer.delivery.step

    def close(self, status: str) -> None:
        """Close the open items, in order; the last one always is open."""
        self._close(self._open, status)

    @property
    def _next(self) -> ItemWriter | None:
        """Return the writer of the next piece, None while its synthesis is awaited."""
        alternating = self._interleaving == "alternating"
        candidates = self._unsent if alternating else list(self._unsent)[:1]
        return next((writer for writer in candidates if writer.delivery is not None), None)

    def _open_for(self, writer: ItemWriter) -> None:
        for opened in self.writers if self._interleaving == "alternating" else [writer]:
            if not opened.items:
                opened.open()
                self._open.append(opened)

    def _close_finished(self) -> None:
        if self._interleaving == "in_turn" and self._unsent:
            self._close(self._open, "completed")
        elif self._interleaving == "overlapping":
            self._close(self._open[:-1], "completed")

    def _close(self, writers: list[ItemWriter], status: str) -> None:
        for writer in list(writers):
            self._open.remove(writer)
            writer.close(status)

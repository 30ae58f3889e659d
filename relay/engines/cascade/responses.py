"""The responses of one session: their order, their answers and their events."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.engines.cascade.effects import EffectBuffer, Event, RequestRefused, Work, WorkTaker
from relay.engines.cascade.items import (
    BYTES_PER_MS,
    CascadeItem,
    ItemList,
    counted_usage,
    history,
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
    Segment,
    needs_approval,
)
from relay.engines.cascade.part_usage import PartUsage, ReplyTokens, ServedBy
from relay.engines.cascade.settings import ResponseRequest
from relay.parts.interfaces import (
    COMPLETED,
    IN_PROGRESS,
    FunctionCall,
    FunctionTool,
    Interleaving,
    McpCall,
    Output,
    PartFailed,
    Reply,
    ReplyDelta,
    ReplyEnding,
    ReplyOccasion,
    ReplyPiece,
    ReplyRequest,
    Revise,
    SpokenMessage,
    StartOver,
    SynthesisRequest,
    TokenUsage,
    as_json,
    cancelled,
)

MAX_RUNNING = 8
"""Responses that run at once: one of the conversation, the others out of band."""

MAX_UNAPPROVED = 64
"""MCP calls that wait for the client's approval; the oldest is forgotten for one more."""

RATE_LIMIT_TOKENS = 15_000_000
"""The limit that `rate_limits.updated` reports; nothing is ever refused for it."""

_PIECES_PER_STEP = 8  # so that a client that reads slowly is noticed in between


@dataclass(frozen=True, slots=True)
class ResponseContext:
    """What the responses of one session share.

    `heard` is what the transcriber was given and no transcript's event has told: a response does.
    `revise` changes the replies, None leaves them as they are.
    """

    conversation: ItemList
    out: EffectBuffer
    work: Work
    pace: Pace
    heard: PartUsage
    revise: Revise | None = None


class ResponseScheduler:
    """Starts, runs and ends the responses of one session.

    At most one of them belongs to the conversation; a turn that ends meanwhile is answered after
    it. `spoke` tells whether any response had audio: then the voice of the session stays.
    """

    def __init__(self, context: ResponseContext) -> None:
        self._context = context
        self._running: dict[str, Response] = {}
        self._waiting: ResponseRequest | None = None
        self._unapproved: dict[str, McpWriter] = {}
        self._begun = 0
        self._last: Response | None = None  # of the conversation; it may still be playing
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
        """Stop the conversation's response, and the one that waits for it: the user speaks.

        What the user cannot have heard by now is never told to the responder.
        """
        self._begin_waiting(now)
        self._waiting = None
        if self._active is not None:
            self._end(self._active, cancelled("turn_detected"))
        if self._last is not None:
            self._last.forget_unheard(now)
            self._last = None

    def transcribed(self, item: CascadeItem, now: float) -> None:
        """Continue the responses that waited for the transcript of this item."""
        for response in list(self._running.values()):
            if item.id in response.awaits:
                response.transcribed(item, now)

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
            done = response.advance(now)
            if response.failure is not None and response.spent:
                self._fail(response, response.failure)
            elif done:
                self._end(response, response.ending)
                ended = response.audio_ms if response.request.in_conversation else ended
            self.spoke = self.spoke or response.audio_ms > 0
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
        occasion = ReplyOccasion(self._begun, self._context.conversation.turns)
        response = Response(request, occasion, self._context)
        self._running[response.id] = response
        if request.in_conversation:
            self._last = response
        response.begin(now)

    def _fail(self, response: Response, failure: PartFailed) -> None:
        fault = self._context.out.emit_failure(failure)
        self._end(response, ReplyEnding("failed", {"type": "failed", "error": fault}))

    def _end(self, response: Response, ending: ReplyEnding) -> None:
        del self._running[response.id]
        response.end(ending)
        self._unapproved.update(response.unapproved)
        while len(self._unapproved) > MAX_UNAPPROVED:
            del self._unapproved[next(iter(self._unapproved))]


class Response:
    """One response, from `response.created` to `response.done` (PROTOCOL §4).

    The scheduler advances it. `awaits` are the ids of the items whose transcripts it waits for,
    `failure` is what a part of it failed with: it ends when what is ready has been sent.
    """

    def __init__(
        self, request: ResponseRequest, occasion: ReplyOccasion, context: ResponseContext
    ) -> None:
        self.id = context.out.new_id("resp")
        self.request = request
        self.awaits: set[str] = set()
        self.ending = COMPLETED
        self.failure: PartFailed | None = None
        self.tokens = ReplyTokens(context.heard.models.responder)
        self._occasion = occasion
        self._context = context
        self._outputs = OutputInterleaver()
        self._message: MessageWriter | None = None  # that is being written
        self._gathered: list[Output] = []  # of a reply that is to be revised as a whole
        self._reply_work = 0
        self._work: set[int] = set()
        self._due = math.inf
        self._first_sent_at = math.inf
        self._input_tokens = (0, 0)
        self._spoken: list[Segment] = []  # that the synthesizer was asked for

    def begin(self, now: float) -> None:
        """Announce the response, and ask the responder once the transcript is there."""
        self._input_tokens = input_tokens(self.request.instructions, self._known)
        self._context.out.emit("response.created", response=self._resource(IN_PROGRESS, None))
        self.awaits = {item.id for item in self._known if item.words is None}
        if not self.awaits:
            self._ask(now)

    def transcribed(self, item: CascadeItem, now: float) -> None:
        """Go on when the last transcript that it waits for is there."""
        self.awaits.discard(item.id)
        if not self.awaits:
            self._ask(now)

    def _ask(self, now: float) -> None:
        """Have the responder answer, unless what it is to answer could not be transcribed."""
        prompt = next((item for item in reversed(self._known) if item.can_prompt), None)
        if prompt is not None and prompt.failure is not None:
            self._fail(prompt.failure, now)
            return
        limit = self.request.max_output_tokens
        asked = ReplyRequest(
            history=history(self._known),
            instructions=self.request.instructions,
            tools=tuple(_function_tools(self.request.tools)),
            tool_choice=self.request.tool_choice,
            max_tokens=limit if isinstance(limit, int) else None,
            out_of_band=not self.request.in_conversation,
            is_unsent=lambda: not self._outputs.begun,
        )
        self.tokens.ask(asked)
        self._reply_work = self._start(asked, _ReplyTaker(self))

    def take(self, piece: ReplyPiece, now: float) -> None:
        """Take a piece of the reply."""
        match piece:
            case ReplyDelta(text):
                self.tokens.receive(len(text))
                self._write_text(text)
            case FunctionCall(arguments=arguments):
                self.tokens.receive(len(as_json(arguments)))
                self._end_message()
                self._add(piece)
            case TokenUsage():
                self.tokens.count(piece)
            case ReplyEnding():
                self.ending = piece
            case Reply():
                self._take_whole(piece)
            case StartOver():
                self._start_over(piece)
        self._continue(now)

    def end_reply(self, failure: PartFailed | None, now: float) -> None:
        """Take the end of the reply, or its failure."""
        self.tokens.end()
        if failure is not None:
            self._fail(failure, now)
            return
        self._end_message()
        if self._gathered and self._context.revise is not None:
            whole = Reply(tuple(self._gathered), ending=self.ending)
            self._gathered = []
            self._take_whole(whole)
        self._outputs.complete = True
        self._continue(now)

    def synthesized(self, segment: Segment, pcm: bytes, now: float) -> None:
        """Take audio of a sentence."""
        if segment.pcm is not None:
            segment.pcm += pcm
        self._set_due(now)

    def end_synthesis(self, segment: Segment, failure: PartFailed | None, now: float) -> None:
        """Take the end of a sentence's audio, or its failure."""
        if failure is not None:
            if not segment.pcm:
                self._spoken.remove(segment)  # nobody charges for what was refused
            self._fail(failure, now)
            return
        segment.whole = True
        self._continue(now)

    @property
    def due(self) -> float:
        """Return when `advance` wants to be called, infinity while something is awaited."""
        waits = self.failure is None and not (self._outputs.ready or self._outputs.finished)
        return math.inf if waits else self._due

    @property
    def spent(self) -> bool:
        """Tell whether nothing that could be sent is left."""
        return self._outputs.finished or not self._outputs.ready

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
            if self.due > now or self._outputs.finished:
                break
            self._due += self._outputs.send_next()
            if self._first_sent_at == math.inf and self.audio_ms:
                self._first_sent_at = now
            self._speak_ahead()
        return self._outputs.finished and self._due <= now

    def end(self, ending: ReplyEnding) -> None:
        """Close the open items and announce the end; what parts still do for it is stopped."""
        for number in self._work:
            self._context.work.cancel(number)
        self._work.clear()
        self._outputs.close("completed" if ending.status == "completed" else "incomplete")
        out = self._context.out
        usage = self._usage()
        out.emit("response.done", response=self._resource(ending, usage))
        if ending.status == "completed":
            remaining = RATE_LIMIT_TOKENS - usage["total_tokens"]
            limit = {"name": "tokens", "limit": RATE_LIMIT_TOKENS, "remaining": remaining}
            out.emit("rate_limits.updated", rate_limits=[{**limit, "reset_seconds": 0.001}])

    def forget_unheard(self, now: float) -> None:
        """Cut what the responder is told of it to what can have been heard by now.

        Its audio is sent faster than it is heard: the user cannot have heard more than what has
        passed since the first of it was sent. A client that truncates says so more exactly.
        """
        left_ms = max(0, int((now - self._first_sent_at) * 1000)) if self.audio_ms else 0
        for item in self._outputs.items:
            if item.spoken and item.role == "assistant":
                item.hear(min(left_ms, item.audio_ms))
                left_ms = max(0, left_ms - item.audio_ms)

    @property
    def _known(self) -> list[CascadeItem]:
        return list(
            self._context.conversation if self.request.input is None else self.request.input
        )

    def _start(self, request: ReplyRequest | SynthesisRequest, taker: WorkTaker) -> int:
        number = self._context.work.start(request, taker)
        self._work.add(number)
        return number

    def _start_over(self, anew: StartOver) -> None:
        """Forget all that was written: none of it has been sent."""
        self.tokens.receive(anew.held_back)
        self.tokens.start_over(anew.by)
        for number in self._work - {self._reply_work}:
            self._context.work.cancel(number)
        self._work = {self._reply_work}
        self._outputs = OutputInterleaver()
        self._message = None
        self._gathered = []
        self.ending = COMPLETED

    def _fail(self, failure: PartFailed, now: float) -> None:
        """End once what is ready has been sent; nothing more is asked of any part."""
        self.failure = self.failure or failure
        for writer in self._outputs.messages:
            writer.drop_unspoken()
        self._message = None
        self._due = max(self._due, now) if self._outputs.begun else now

    def _write_text(self, text: str) -> None:
        if self._context.revise is not None:
            if self._gathered and isinstance(self._gathered[-1], SpokenMessage):
                text = self._gathered.pop().text + text  # type: ignore[union-attr]
            self._gathered.append(SpokenMessage(text))
            return
        if self._message is None:
            spoken = self.request.spoken
            self._message = MessageWriter(self._next_slot, spoken, self._context.pace)
            self._outputs.add(self._message)
        self._message.add_text(text)

    def _end_message(self) -> None:
        if self._message is not None:
            self._message.end_text()
            self._message = None

    def _add(self, call: FunctionCall) -> None:
        if self._context.revise is not None:
            self._gathered.append(call)
        else:
            writers = item_writers((call,), self.request, self._next_slot, self._context.pace)
            self._outputs.add(*writers)

    def _take_whole(self, reply: Reply) -> None:
        if self._context.revise is not None:
            reply = self._context.revise(self._occasion, reply)
        self.ending = reply.ending
        self._outputs.interleaving = reply.interleaving
        pace = self._context.pace
        self._outputs.add(*item_writers(reply.outputs, self.request, self._next_slot, pace))
        self._outputs.complete = True

    @property
    def _next_slot(self) -> OutputSlot:
        conversation = self._context.conversation if self.request.in_conversation else None
        index = len(self._outputs.writers)
        return OutputSlot(self.id, index, conversation, self._context.out)

    def _continue(self, now: float) -> None:
        self._speak_ahead()
        self._set_due(now)

    def _speak_ahead(self) -> None:
        for writer in self._outputs.messages:
            while (spoken := writer.next_to_speak()) is not None:
                text, segment = spoken
                self._spoken.append(segment)
                asked = SynthesisRequest(text.strip(), self.request.voice, self.request.speed)
                self._start(asked, _SpeechTaker(self, segment))

    def _set_due(self, now: float) -> None:
        if self._outputs.begun:
            self._due = max(self._due, now)
        elif self._outputs.ready or self._outputs.finished:
            self._due = min(self._due, now + self._context.pace.delay_seconds)

    def _usage(self) -> dict[str, Any]:
        if (counted := self.tokens.counted) is not None:
            usage = counted_usage(counted, self.audio_ms)
        else:
            first = self._occasion.response == 1
            words = self._outputs.word_count
            usage = response_usage(self._input_tokens, words, self.audio_ms, first=first)
        if not self._context.heard.models.billed:
            return usage
        return {**usage, "parts": [*self._context.heard.take(), *self._usage_by_part()]}

    def _usage_by_part(self) -> list[Event]:
        """Return what the responder and the synthesizer used, as far as they got."""
        models = self._context.heard.models
        used = PartUsage(models)
        for model, tokens in self.tokens.by_model:
            counts = {"input_tokens": tokens.input, "cached_tokens": tokens.cached}
            used.count(model, **counts, output_tokens=tokens.output)
        for segment in self._spoken:
            characters, pcm = len("".join(segment.words).strip()), segment.pcm or b""
            seconds = len(pcm) / (BYTES_PER_MS * 1000)
            used.count(
                segment.spoken_by or models.synthesizer, characters=characters, seconds=seconds
            )
        return used.take()

    def _resource(self, ending: ReplyEnding, usage: Event | None) -> Event:
        request = self.request
        conversation_id = self._context.conversation.id if request.in_conversation else None
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": ending.status,
            "status_details": ending.details,
            "output": [snapshot(item.body) for item in self._outputs.items],
            "conversation_id": conversation_id,
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


@dataclass(frozen=True, slots=True)
class _ReplyTaker:
    """Hands a responder's pieces to their response."""

    response: Response

    def progress(self, piece: ReplyPiece | ServedBy, now: float) -> None:
        if isinstance(piece, ServedBy):
            self.response.tokens.model = piece.model
            return
        self.response.take(piece, now)

    def finish(self, failure: PartFailed | None, now: float) -> None:
        self.response.end_reply(failure, now)


@dataclass(frozen=True, slots=True)
class _SpeechTaker:
    """Hands a sentence's audio to its response."""

    response: Response
    segment: Segment

    def progress(self, piece: bytes | ServedBy, now: float) -> None:
        if isinstance(piece, ServedBy):
            self.segment.spoken_by = piece.model
            return
        self.response.synthesized(self.segment, piece, now)

    def finish(self, failure: PartFailed | None, now: float) -> None:
        self.response.end_synthesis(self.segment, failure, now)


def _function_tools(tools: Sequence[dict[str, Any]]) -> Iterator[FunctionTool]:
    for tool in tools:
        if tool.get("type", "function") == "function" and isinstance(tool.get("name"), str):
            parameters = tool.get("parameters")
            yield FunctionTool(
                tool["name"],
                str(tool.get("description") or ""),
                parameters if isinstance(parameters, dict) else {},
            )


def item_writers(
    outputs: Sequence[Output], request: ResponseRequest, first: OutputSlot, pace: Pace
) -> list[ItemWriter]:
    """Return the writers of a reply's outputs, each in its slot from the first on."""
    writers: list[ItemWriter] = []
    slot = first
    for output in outputs:
        match output:
            case SpokenMessage():
                writers.append(_message_writer(slot, output, request.spoken, pace))
            case FunctionCall():
                writers.append(FunctionCallWriter(slot, output, pace))
            case McpCall():
                asks = needs_approval(request.tools, output.server_label, output.name)
                following = replace(slot, index=slot.index + 1)
                writers.append(McpWriter(slot, output, pace, following if asks else None))
                slot = following if asks else slot
        slot = replace(slot, index=slot.index + 1)
    return writers


def _message_writer(
    slot: OutputSlot, message: SpokenMessage, spoken: bool, pace: Pace
) -> MessageWriter:
    writer = MessageWriter(slot, spoken, pace, message.phase)
    if spoken and message.pcm is not None:
        writer.add_audio(message.text, message.pcm)
    else:
        writer.add_text(message.text)
    writer.end_text()
    return writer


class OutputInterleaver:
    """Sends the outputs of one response piece by piece, in the order of their interleaving.

    Outputs are added while the reply is being written, until it is `complete`.
    """

    def __init__(self) -> None:
        self.writers: list[ItemWriter] = []
        self.interleaving: Interleaving = "overlapping"
        self.complete = False
        self._unsent: deque[ItemWriter] = deque()
        self._open: list[ItemWriter] = []

    def add(self, *writers: ItemWriter) -> None:
        """Add outputs after the others."""
        self.writers += writers
        self._unsent += writers

    @property
    def messages(self) -> list[MessageWriter]:
        """Return the writers of messages."""
        return [writer for writer in self.writers if isinstance(writer, MessageWriter)]

    @property
    def finished(self) -> bool:
        """Tell whether all pieces are sent and none will come; items may still be open."""
        return self.complete and not self._unsent

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
        return sum(writer.delivery.word_count for writer in self.writers)

    @property
    def audio_bytes(self) -> int:
        """Return the number of bytes of audio sent so far."""
        return sum(writer.delivery.audio_bytes for writer in self.writers)

    def send_next(self) -> float:
        """Send the next piece; returns the seconds between it and the one after."""
        writer = self._next
        if writer is None:
            return 0.0
        self._open_for(writer)
        for piece in writer.delivery.take():
            writer.write(piece)
        self._unsent.remove(writer)
        if writer.delivery.finished:
            self._close_finished()
        elif self.interleaving == "alternating":
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
        alternating = self.interleaving == "alternating"
        candidates = self._unsent if alternating else list(self._unsent)[:1]
        return next((writer for writer in candidates if writer.delivery.ready), None)

    def _open_for(self, writer: ItemWriter) -> None:
        for opened in self.writers if self.interleaving == "alternating" else [writer]:
            if not opened.items:
                opened.open()
                self._open.append(opened)

    def _close_finished(self) -> None:
        if self.interleaving == "in_turn" and self._unsent:
            self._close(self._open, "completed")
        elif self.interleaving == "overlapping":
            self._close(self._open[:-1], "completed")

    def _close(self, writers: list[ItemWriter], status: str) -> None:
        for writer in list(writers):
            self._open.remove(writer)
            writer.close(status)

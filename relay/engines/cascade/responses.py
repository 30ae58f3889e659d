"""Which responses run, which one is waited for, and what each of them says."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from relay.engines.cascade import items
from relay.engines.cascade import items as usage
from relay.engines.cascade import outputs as mcp
from relay.engines.cascade.effects import EffectBuffer, Event, RequestRefused, Speak
from relay.engines.cascade.items import BYTES_PER_MS, CascadeItem, ItemList
from relay.engines.cascade.outputs import (
    FunctionCallWriter,
    ItemWriter,
    McpWriter,
    MessageWriter,
    Pace,
    Slot,
)
from relay.engines.cascade.settings import Request
from relay.parts.interfaces import (
    COMPLETED,
    IN_PROGRESS,
    FunctionCall,
    McpCall,
    Output,
    Reply,
    ReplyEnding,
    ReplyOccasion,
    Responder,
    Revise,
    SpokenMessage,
    Weave,
    as_it_is,
    as_reply,
    cancelled,
    failed,
)

# ---- The strands of one response: which of them speaks next, and when each is opened and ended.


class OutputInterleaver:
    """The strands of one response, put out in the order that its weave asks for."""

    def __init__(self, strands: Sequence[ItemWriter], weave: Weave) -> None:
        self.strands = strands
        self._weave = weave
        self._unsaid = deque(strands)
        self._open: list[ItemWriter] = []

    @property
    def finished(self) -> bool:
        """Tell whether all is said; some of it may still be open."""
        return not self._unsaid

    @property
    def ready(self) -> bool:
        """Tell whether the next piece is there, and no mouth is awaited for it."""
        return self._speaker is not None

    @property
    def begun(self) -> bool:
        """Tell whether anything was announced."""
        return any(strand.items for strand in self.strands)

    @property
    def items(self) -> list[CascadeItem]:
        """Return the items that were announced."""
        return [item for strand in self.strands for item in strand.items]

    @property
    def words(self) -> int:
        """Return how many words, or pieces of arguments, were sent."""
        return sum(strand.delivery.words for strand in self.strands if strand.delivery)

    @property
    def audio_bytes(self) -> int:
        """Return how much sound was sent."""
        return sum(strand.delivery.audio_bytes for strand in self.strands if strand.delivery)

    def say(self) -> float:
        """Send the next piece; returns how many seconds lie between it and the one after."""
        strand = self._speaker
        if strand is None or strand.delivery is None:
            return 0.0
        self._open_for(strand)
        for piece in strand.delivery.take():
            strand.tell(piece)
        self._unsaid.remove(strand)
        if strand.delivery.finished:
            self._finish()
        elif self._weave == "alternating":
            self._unsaid.append(strand)
        else:
            self._unsaid.appendleft(strand)
        return strand.delivery.step

    def close(self, status: str) -> None:
        """End what is open, in order; the last one always is."""
        self._close(self._open, status)

    @property
    def _speaker(self) -> ItemWriter | None:
        """Return who speaks next, None while a mouth is awaited for it."""
        whoever = self._unsaid if self._weave == "alternating" else list(self._unsaid)[:1]
        return next((strand for strand in whoever if strand.delivery is not None), None)

    def _open_for(self, speaker: ItemWriter) -> None:
        for strand in self.strands if self._weave == "alternating" else [speaker]:
            if not strand.items:
                strand.open()
                self._open.append(strand)

    def _finish(self) -> None:
        if self._weave == "in_turn" and self._unsaid:
            self._close(self._open, "completed")
        elif self._weave == "overlapping":
            self._close(self._open[:-1], "completed")

    def _close(self, these: list[ItemWriter], status: str) -> None:
        for strand in list(these):
            self._open.remove(strand)
            strand.close(status)


def strands_of(
    outputs: Sequence[Output], request: Request, first: Slot, pace: Pace
) -> list[ItemWriter]:
    """Return the strands of an answer, each in its slot from the first on."""
    strands: list[ItemWriter] = []
    slot = first
    for output in outputs:
        match output:
            case SpokenMessage():
                strands.append(MessageWriter(slot, output, request.spoken, pace))
            case FunctionCall():
                strands.append(FunctionCallWriter(slot, output, pace))
            case McpCall():
                asks = mcp.needs_approval(request.tools, output.server_label, output.name)
                following = replace(slot, index=slot.index + 1)
                strands.append(McpWriter(slot, output, pace, following if asks else None))
                slot = following if asks else slot
        slot = replace(slot, index=slot.index + 1)
    return strands


# ---- One response from `response.created` to `response.done`, event by event (PROTOCOL §4).

RATE_LIMIT_TOKENS = 15_000_000
"""The limit that `rate_limits.updated` tells of; nothing is ever refused for it."""

_AT_ONCE = 8  # pieces sent in one go, so that a reader who fell behind is asked in between


class Response:
    """A response that runs. The caller gives it its reply and says when to go on."""

    def __init__(
        self,
        request: Request,
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
        self._weaving = OutputInterleaver((), "in_turn")
        self._due = math.inf
        self._taken = (0, 0)

    def begin(self) -> None:
        """Announce the response."""
        taken_from = self._conversation if self.request.input is None else self.request.input
        self._taken = usage.taken_in(self.request.instructions, taken_from)
        self._out.emit("response.created", response=self._resource(IN_PROGRESS, None))

    def answer(self, reply: Reply, now: float) -> None:
        """Take what it shall put out; asks for the sounds that it needs."""
        self.ending = reply.ending
        conversation = self._conversation if self.request.in_conversation else None
        first = Slot(self.id, 0, conversation, self._out)
        strands = strands_of(reply.outputs, self.request, first, self._pace)
        self._weaving = OutputInterleaver(strands, reply.weave)
        for index, strand in enumerate(strands):
            if isinstance(strand, MessageWriter) and strand.delivery is None:
                self._out.do(Speak(self.id, index, strand.text, self.request.voice))
        self._go_on(now)

    def spoken(self, output: int, pcm: bytes, now: float) -> None:
        """Take the sound of one of the outputs."""
        strand = self._weaving.strands[output]
        if isinstance(strand, MessageWriter):
            strand.voice(pcm)
            self._go_on(now)

    @property
    def due(self) -> float:
        """Return when `advance` wants to be called, infinity while something is awaited."""
        return self._due if self._weaving.ready or self._weaving.finished else math.inf

    @property
    def audio_ms(self) -> int:
        """Return how much sound was sent."""
        return self._weaving.audio_bytes // BYTES_PER_MS

    @property
    def unapproved(self) -> dict[str, McpWriter]:
        """Return the calls that wait for the client's approval, by the id of the request."""
        calls = [strand for strand in self._weaving.strands if isinstance(strand, McpWriter)]
        return {call.awaits: call for call in calls if call.awaits is not None}

    def advance(self, now: float) -> bool:
        """Send what is due; returns True when everything is said (then `end` it)."""
        for _ in range(_AT_ONCE):
            if self.due > now:
                return False
            self._due += self._weaving.say()
            if self._weaving.finished:
                return True
        return False

    def end(self, ending: ReplyEnding) -> None:
        """Close what is open and announce the end."""
        self._weaving.close("completed" if ending.status == "completed" else "incomplete")
        self._out.emit("response.done", response=self._resource(ending, self._used()))
        if ending.status == "completed":
            remaining = RATE_LIMIT_TOKENS - self._used()["total_tokens"]
            limit = {"name": "tokens", "limit": RATE_LIMIT_TOKENS, "remaining": remaining}
            self._out.emit("rate_limits.updated", rate_limits=[{**limit, "reset_seconds": 0.001}])

    def _go_on(self, now: float) -> None:
        if self._weaving.begun:
            self._due = max(self._due, now)
        else:
            self._due = now + self._pace.delay_seconds

    def _used(self) -> dict[str, Any]:
        first = self.occasion.response == 1
        return usage.of_response(self._taken, self._weaving.words, self.audio_ms, first=first)

    def _resource(self, ending: ReplyEnding, used: Event | None) -> Event:
        request = self.request
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": ending.status,
            "status_details": ending.details,
            "output": [items.snapshot(item.body) for item in self._weaving.items],
            "conversation_id": self._conversation.id if request.in_conversation else None,
            "output_modalities": ["audio"] if request.spoken else ["text"],
            "max_output_tokens": request.max_output_tokens,
            "audio": {
                "output": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "voice": request.voice,
                }
            },
            "usage": used,
            "metadata": request.metadata,
        }


MAX_RUNNING = 8
"""Responses that run at once: one of the conversation, the others out of band."""

MAX_UNAPPROVED = 64
"""Calls that wait for a client's approval; the eldest is forgotten for one more."""


@runtime_checkable
class AudioResponder(Protocol):
    """A brain that answers sound with sound, without words in between."""

    def answer(self, pcm: bytes) -> tuple[str, bytes]:
        """Return what to show as the transcript, and the audio, in answer to a turn's audio."""


@runtime_checkable
class OutOfBandResponder(Protocol):
    """A brain that answers differently when it is asked out of band."""

    def aside(self, heard: str) -> str | Reply:
        """Return the answer that joins no conversation."""


class ResponseScheduler:
    """The responses of one session; `spoke` tells whether any had sound: then the voice stays."""

    def __init__(
        self,
        brain: Responder,
        conversation: ItemList,
        out: EffectBuffer,
        pace: Pace,
        revise: Revise = as_it_is,
    ) -> None:
        self._brain = brain
        self._conversation = conversation
        self._out = out
        self._pace = pace
        self._revise = revise
        self._running: dict[str, Response] = {}
        self._wanted: Request | None = None
        self._unapproved: dict[str, McpWriter] = {}
        self._begun = 0
        self.spoke = False

    @property
    def running(self) -> bool:
        """Tell whether the conversation's response runs."""
        return self._active is not None

    def deadline(self, now: float) -> float:
        """Return when `advance` wants to be called, infinity when nothing runs."""
        due = [response.due for response in self._running.values()]
        if self._wanted and self._active is None:
            due.append(now)
        return min(due, default=math.inf)

    def want(self, request: Request) -> None:
        """Answer the turn that just ended, at the next step, or after the answer that runs."""
        self._wanted = request

    def create(self, request: Request, now: float) -> None:
        """Begin a response that the client asked for; raises `RequestRefused`."""
        self._begin_wanted(now)
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
        self._begin_wanted(now)
        active = self._active if response_id is None else self._running.get(response_id)
        if active is None:
            raise RequestRefused(
                "response_cancel_not_active", "Cancellation failed: no active response found"
            )
        self._end(active, cancelled("client_cancelled"))

    def interrupt(self, now: float) -> None:
        """Stop the conversation's response, and the one that waits for it: the user speaks."""
        self._begin_wanted(now)
        self._wanted = None
        if self._active is not None:
            self._end(self._active, cancelled("turn_detected"))

    def heard(self, item: CascadeItem, now: float) -> None:
        """Go on where the words of this item were waited for."""
        for response in list(self._running.values()):
            if response.awaits == item.id:
                self._think(response, item, now)

    def spoken(self, response_id: str, output: int, pcm: bytes, now: float) -> None:
        """Go on with the sound of an answer; too late is no matter."""
        response = self._running.get(response_id)
        if response is not None:
            self.spoke = True
            response.spoken(output, pcm, now)

    def fail(self, response_id: str, message: str) -> None:
        """End a response whose part failed."""
        response = self._running.get(response_id)
        if response is not None:
            self._end(response, failed("server_error", message))

    def decide(self, approval_request_id: str, approved: bool) -> None:
        """Take the client's word about a call; one that nobody asked about is no matter."""
        call = self._unapproved.pop(approval_request_id, None)
        if call is not None:
            call.decide(approved)

    def advance(self, now: float) -> int | None:
        """Begin and go on with what is due.

        Returns how many ms of sound the conversation's response had when it ended in this step.
        """
        if self._active is None:
            self._begin_wanted(now)
        ended: int | None = None
        for response in list(self._running.values()):
            if response.advance(now):
                self._end(response, response.ending)
                ended = response.audio_ms if response.request.in_conversation else ended
        return ended

    @property
    def _active(self) -> Response | None:
        return next((r for r in self._running.values() if r.request.in_conversation), None)

    def _begin_wanted(self, now: float) -> None:
        if self._wanted is not None and self._active is None:
            request, self._wanted = self._wanted, None
            self._begin(request, now)

    def _begin(self, request: Request, now: float) -> None:
        self._begun += 1
        occasion = ReplyOccasion(self._begun, self._conversation.turns)
        response = Response(request, occasion, self._conversation, self._out, self._pace)
        self._running[response.id] = response
        response.begin()
        prompt = self._prompt(request)
        if prompt is not None and prompt.words is None:
            response.awaits = prompt.id
        else:
            self._think(response, prompt, now)

    def _prompt(self, request: Request) -> CascadeItem | None:
        known = self._conversation if request.input is None else request.input
        return next((item for item in reversed(list(known)) if item.prompts), None)

    def _think(self, response: Response, prompt: CascadeItem | None, now: float) -> None:
        response.awaits = None
        try:
            reply = self._thought(prompt, response.request)
        except Exception:  # noqa: BLE001 - a brain's fault fails one answer, not the session
            self.fail(response.id, "No answer could be found.")
            return
        response.answer(self._revise(response.occasion, reply), now)

    def _thought(self, prompt: CascadeItem | None, request: Request) -> Reply:
        if prompt is not None and prompt.audio and isinstance(self._brain, AudioResponder):
            text, pcm = self._brain.answer(prompt.audio)
            self.spoke = self.spoke or request.spoken
            return Reply((SpokenMessage(text, pcm=pcm),))
        heard = (prompt.words if prompt else None) or ""
        if not request.in_conversation and isinstance(self._brain, OutOfBandResponder):
            return as_reply(self._brain.aside(heard))
        return as_reply(self._brain.reply(heard))

    def _end(self, response: Response, ending: ReplyEnding) -> None:
        del self._running[response.id]
        response.end(ending)
        self._unapproved.update(response.unapproved)
        while len(self._unapproved) > MAX_UNAPPROVED:
            del self._unapproved[next(iter(self._unapproved))]

"""One response from `response.created` to `response.done`, event by event (PROTOCOL §4)."""

import math
from typing import Any

from relay.engines.offline import items, usage
from relay.engines.offline.calls import McpStrand
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.delivery import Pace
from relay.engines.offline.items import BYTES_PER_MS
from relay.engines.offline.outgoing import Outgoing, Speak
from relay.engines.offline.refusals import Event
from relay.engines.offline.replies import COMPLETED, IN_PROGRESS, Ending, Occasion, Reply
from relay.engines.offline.request import Request
from relay.engines.offline.strands import MessageStrand, Slot
from relay.engines.offline.weaving import Weaving, strands_of

RATE_LIMIT_TOKENS = 15_000_000
"""The limit that `rate_limits.updated` tells of; nothing is ever refused for it."""

_AT_ONCE = 8  # pieces sent in one go, so that a reader who fell behind is asked in between


class Response:
    """A response that runs. The caller gives it its reply and says when to go on."""

    def __init__(
        self,
        request: Request,
        occasion: Occasion,
        conversation: Conversation,
        out: Outgoing,
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
        self._weaving = Weaving((), "in_turn")
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
        self._weaving = Weaving(strands, reply.weave)
        for index, strand in enumerate(strands):
            if isinstance(strand, MessageStrand) and strand.delivery is None:
                self._out.do(Speak(self.id, index, strand.text, self.request.voice))
        self._go_on(now)

    def spoken(self, output: int, pcm: bytes, now: float) -> None:
        """Take the sound of one of the outputs."""
        strand = self._weaving.strands[output]
        if isinstance(strand, MessageStrand):
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
    def unapproved(self) -> dict[str, McpStrand]:
        """Return the calls that wait for the client's approval, by the id of the request."""
        calls = [strand for strand in self._weaving.strands if isinstance(strand, McpStrand)]
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

    def end(self, ending: Ending) -> None:
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

    def _resource(self, ending: Ending, used: Event | None) -> Event:
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

"""Which responses run, which one is waited for, and what each of them says."""

import math
from typing import Protocol, runtime_checkable

from relay.engines.offline.calls import McpStrand
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.delivery import Pace
from relay.engines.offline.items import Item
from relay.engines.offline.outgoing import Outgoing
from relay.engines.offline.parts import Brain
from relay.engines.offline.refusals import Refusal
from relay.engines.offline.replies import (
    Ending,
    Message,
    Occasion,
    Reply,
    Revise,
    as_it_is,
    as_reply,
    cancelled,
    failed,
)
from relay.engines.offline.request import Request
from relay.engines.offline.responses import Response

MAX_RUNNING = 8
"""Responses that run at once: one of the conversation, the others out of band."""

MAX_UNAPPROVED = 64
"""Calls that wait for a client's approval; the eldest is forgotten for one more."""


@runtime_checkable
class Parrot(Protocol):
    """A brain that answers sound with sound, without words in between."""

    def answer(self, pcm: bytes) -> tuple[str, bytes]:
        """Return what to show as the transcript, and the audio, in answer to a turn's audio."""


@runtime_checkable
class Whisperer(Protocol):
    """A brain that answers differently when it is asked out of band."""

    def aside(self, heard: str) -> str | Reply:
        """Return the answer that joins no conversation."""


class Answering:
    """The responses of one session; `spoke` tells whether any had sound: then the voice stays."""

    def __init__(
        self,
        brain: Brain,
        conversation: Conversation,
        out: Outgoing,
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
        self._unapproved: dict[str, McpStrand] = {}
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
        """Begin a response that the client asked for; raises `Refusal`."""
        self._begin_wanted(now)
        active = self._active
        if request.in_conversation and active is not None:
            raise Refusal(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        if len(self._running) >= MAX_RUNNING:
            raise Refusal("rate_limit_exceeded", "Too many responses are in progress.")
        self._begin(request, now)

    def cancel(self, response_id: str | None, now: float) -> None:
        """Stop a response for the client; raises `Refusal` when there is none."""
        self._begin_wanted(now)
        active = self._active if response_id is None else self._running.get(response_id)
        if active is None:
            raise Refusal(
                "response_cancel_not_active", "Cancellation failed: no active response found"
            )
        self._end(active, cancelled("client_cancelled"))

    def interrupt(self, now: float) -> None:
        """Stop the conversation's response, and the one that waits for it: the user speaks."""
        self._begin_wanted(now)
        self._wanted = None
        if self._active is not None:
            self._end(self._active, cancelled("turn_detected"))

    def heard(self, item: Item, now: float) -> None:
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
        occasion = Occasion(self._begun, self._conversation.turns)
        response = Response(request, occasion, self._conversation, self._out, self._pace)
        self._running[response.id] = response
        response.begin()
        prompt = self._prompt(request)
        if prompt is not None and prompt.words is None:
            response.awaits = prompt.id
        else:
            self._think(response, prompt, now)

    def _prompt(self, request: Request) -> Item | None:
        known = self._conversation if request.input is None else request.input
        return next((item for item in reversed(list(known)) if item.prompts), None)

    def _think(self, response: Response, prompt: Item | None, now: float) -> None:
        response.awaits = None
        try:
            reply = self._thought(prompt, response.request)
        except Exception:  # noqa: BLE001 - a brain's fault fails one answer, not the session
            self.fail(response.id, "No answer could be found.")
            return
        response.answer(self._revise(response.occasion, reply), now)

    def _thought(self, prompt: Item | None, request: Request) -> Reply:
        if prompt is not None and prompt.audio and isinstance(self._brain, Parrot):
            text, pcm = self._brain.answer(prompt.audio)
            self.spoke = self.spoke or request.spoken
            return Reply((Message(text, pcm=pcm),))
        heard = (prompt.words if prompt else None) or ""
        if not request.in_conversation and isinstance(self._brain, Whisperer):
            return as_reply(self._brain.aside(heard))
        return as_reply(self._brain.reply(heard))

    def _end(self, response: Response, ending: Ending) -> None:
        del self._running[response.id]
        response.end(ending)
        self._unapproved.update(response.unapproved)
        while len(self._unapproved) > MAX_UNAPPROVED:
            del self._unapproved[next(iter(self._unapproved))]

"""Which responses run, which one is waited for, and what each of them says."""

import math
from typing import Any, Protocol, runtime_checkable

from relay.engines.offline import items
from relay.engines.offline.config import THINKING, VOICED, Settings
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.delivery import Delivery, Pace
from relay.engines.offline.items import Item
from relay.engines.offline.outgoing import Outgoing, Speak
from relay.engines.offline.parts import Brain
from relay.engines.offline.refusals import Refusal
from relay.engines.offline.responses import Request, Response
from relay.engines.offline.shapes import array, nullable, one_of, record, text, thing

MAX_RUNNING = 8
"""Responses that run at once: one of the conversation, the others out of band."""


@runtime_checkable
class Parrot(Protocol):
    """A brain that answers sound with sound, without words in between."""

    def answer(self, pcm: bytes) -> tuple[str, bytes]:
        """Return what to show as the transcript, and the audio, in answer to a turn's audio."""


class Answering:
    """The responses of one session."""

    def __init__(self, brain: Brain, conversation: Conversation, out: Outgoing, pace: Pace) -> None:
        self._brain = brain
        self._conversation = conversation
        self._out = out
        self._pace = pace
        self._running: dict[str, Response] = {}
        self._wanted: Request | None = None
        self.spoke = False

    def deadline(self, now: float) -> float:
        """Return when `advance` wants to be called, infinity when nothing runs."""
        due = [r.delivery.due for r in self._running.values() if r.delivery]
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
        self._end(active, "cancelled", {"type": "cancelled", "reason": "client_cancelled"})

    def interrupt(self, now: float) -> None:
        """Stop the conversation's response, and the one that waits for it: the user speaks."""
        self._begin_wanted(now)
        self._wanted = None
        if self._active is not None:
            details = {"type": "cancelled", "reason": "turn_detected"}
            self._end(self._active, "cancelled", details)

    def heard(self, item: Item, now: float) -> None:
        """Go on where the words of this item were waited for."""
        for response in list(self._running.values()):
            if response.awaits == item.id:
                self._think(response, item, now)

    def spoken(self, response_id: str, pcm: bytes, now: float) -> None:
        """Go on with the sound of an answer; too late is no matter."""
        response = self._running.get(response_id)
        if response is not None:
            self._deliver(response, pcm, now)

    def fail(self, response_id: str, message: str) -> None:
        """End a response whose part failed."""
        response = self._running.get(response_id)
        if response is not None:
            fault = {"type": "server_error", "code": "server_error", "message": message}
            self._end(response, "failed", {"type": "failed", "error": fault})

    def advance(self, now: float) -> None:
        """Begin and go on with what is due."""
        if self._active is None:
            self._begin_wanted(now)
        for response in list(self._running.values()):
            if response.advance(now):
                self._end(response, "completed", None)

    @property
    def _active(self) -> Response | None:
        return next((r for r in self._running.values() if r.request.in_conversation), None)

    def _begin_wanted(self, now: float) -> None:
        if self._wanted is not None and self._active is None:
            request, self._wanted = self._wanted, None
            self._begin(request, now)

    def _begin(self, request: Request, now: float) -> None:
        response = Response(request, self._conversation, self._out)
        self._running[response.id] = response
        response.begin()
        prompt = self._prompt(request)
        if prompt is not None and prompt.words is None:
            response.awaits = prompt.id
        else:
            self._think(response, prompt, now)

    def _prompt(self, request: Request) -> Item | None:
        known = self._conversation if request.input is None else request.input
        return next((item for item in reversed(list(known)) if item.role == "user"), None)

    def _think(self, response: Response, prompt: Item | None, now: float) -> None:
        response.awaits = None
        try:
            response.text, pcm = self._thought(prompt)
        except Exception:  # noqa: BLE001 - a brain's fault fails one answer, not the session
            self.fail(response.id, "No answer could be found.")
            return
        if not response.request.spoken:
            self._deliver(response, None, now)
        elif pcm is not None:
            self._deliver(response, pcm, now)
        else:
            self._out.do(Speak(response.id, response.text, response.request.voice))

    def _thought(self, prompt: Item | None) -> tuple[str, bytes | None]:
        if prompt is not None and prompt.audio and isinstance(self._brain, Parrot):
            return self._brain.answer(prompt.audio)
        return self._brain.reply((prompt.words if prompt else None) or ""), None

    def _deliver(self, response: Response, pcm: bytes | None, now: float) -> None:
        self.spoke = self.spoke or response.request.spoken
        start = now + self._pace.delay_seconds
        response.delivery = Delivery(response.text, pcm, self._pace, start)

    def _end(self, response: Response, status: str, details: dict[str, Any] | None) -> None:
        del self._running[response.id]
        response.end(status, details)


def request(settings: Settings, asked: Any, known: Conversation, out: Outgoing) -> Request:
    """Return the response that a `response.create` asks for; raises `Refusal`."""
    checked = _RESPONSE(asked, "response")
    output = checked.get("audio", {}).get("output", {})
    voice = output.get("voice") or settings["audio"]["output"]["voice"]
    modalities = checked.get("output_modalities") or settings["output_modalities"]
    given = checked.get("input")
    return Request(
        spoken=modalities == ["audio"],
        voice=voice if isinstance(voice, str) else voice["id"],
        instructions=checked.get("instructions") or settings["instructions"],
        max_output_tokens=checked.get("max_output_tokens") or settings["max_output_tokens"],
        metadata=checked.get("metadata"),
        in_conversation=checked.get("conversation", "auto") == "auto",
        input=None if given is None else tuple(_inputs(given, known, out)),
    )


def _inputs(given: list[dict[str, Any]], known: Conversation, out: Outgoing) -> list[Item]:
    found = []
    for index, value in enumerate(given):
        if value.get("type") == "item_reference":
            item_id = text(items.MAX_ID)(value.get("id"), f"response.input[{index}].id")
            found.append(known.get(item_id, "referencing", "invalid_value"))
        else:
            found.append(items.from_client(value, f"response.input[{index}]", out.new_id))
    return found


def _metadata(value: Any, path: str) -> dict[str, str]:
    check = text(512)
    return {text(64)(k, path): check(v, f"{path}.{k[:64]}") for k, v in thing(value, path).items()}


_RESPONSE = record(
    {
        **THINKING,
        "metadata": nullable(_metadata),
        "conversation": one_of("auto", "none"),
        "input": nullable(array(thing)),
        "audio": record({"output": VOICED}),
    }
)

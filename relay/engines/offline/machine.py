"""The server's side of one Realtime session, pure: client events and the time in, effects out."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.engines.offline import clientevents, config, idle, items, wishes
from relay.engines.offline.answering import Answering
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.delivery import Pace
from relay.engines.offline.idle import Idle
from relay.engines.offline.ids import NewId
from relay.engines.offline.itemevents import ItemEvents
from relay.engines.offline.items import Item
from relay.engines.offline.mcp import Listing
from relay.engines.offline.outgoing import Close, Effect, Outgoing
from relay.engines.offline.parts import Brain, Ear, Servers
from relay.engines.offline.refusals import Event, Refusal
from relay.engines.offline.replies import Revise, as_it_is
from relay.engines.offline.request import Request, request
from relay.engines.offline.transcripts import Transcripts
from relay.engines.offline.turns import InputAudio, Started, Stopped
from relay.interfaces import Frame

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

    def __init__(self, opening: Opening, ear: Ear, brain: Brain, new_id: NewId) -> None:
        self._out = out = Outgoing(new_id)
        expires_at = opening.unix + math.ceil(opening.seconds)
        self._settings = config.opening(new_id("sess"), opening.model, expires_at)
        self._conversation = known = Conversation(new_id("conv"))
        self._input = InputAudio(ear, new_id)
        self._transcripts = Transcripts(out)
        self._answering = Answering(brain, known, out, opening.pace, opening.revise)
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
        except Refusal as refusal:
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
            self._out.refuse(Refusal("session_expired", EXPIRED), None)
            self._out.do(Close(1001, EXPIRED))
            return self._out.take()
        silence = self._silence() if now >= self._idle.due else None
        heard_ms = self._answering.advance(now)
        if silence is not None:
            self._transcripts.nothing(silence, self._transcriber)
        if heard_ms is not None:
            self._idle.wait(now, heard_ms, wishes.idle_ms(self._settings))
        return self._done()

    def deadline(self, now: float) -> float:
        """Return when `tick` wants to be called next, on the clock that `now` is of."""
        return min(self._ends_at, self._idle.due, self._answering.deadline(now))

    @property
    def _transcriber(self) -> str | None:
        return wishes.transcriber(self._settings)

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
        for happened in self._input.append(pcm, wishes.listening(self._settings)):
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
        if wishes.interrupts(self._settings):
            self._answering.interrupt(now)

    def _stop_turn(self, turn: Stopped) -> None:
        self._out.emit(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=turn.audio_end_ms,
            item_id=turn.item_id,
        )
        self._commit_item(items.spoken_by_user(turn.item_id, turn.pcm))
        if wishes.answers(self._settings):
            self._answering.want(self._request({}))

    def _silence(self) -> Item | None:
        """Want an answer to a silence that lasted too long; returns its item (PROTOCOL §4.9)."""
        self._idle.stop()
        timeout_ms = wishes.idle_ms(self._settings)
        if timeout_ms is None or self._answering.running:
            return None
        silence = self._input.silence(timeout_ms)
        if silence is None:
            return None
        item_id, start_ms, end_ms, pcm = silence
        fields = {"audio_start_ms": start_ms, "audio_end_ms": end_ms, "item_id": item_id}
        self._out.emit("input_audio_buffer.timeout_triggered", **fields)
        self._items.add(idle.prompt(self._out.new_id("item")), None, None)
        item = items.spoken_by_user(item_id, pcm)
        item.words = ""
        self._commit_item(item)
        self._answering.want(self._request({}))
        return item

    def _commit(self, event: Event, now: float) -> None:
        item_id, pcm = self._input.commit()
        self._idle.stop()
        self._commit_item(items.spoken_by_user(item_id, pcm))

    def _commit_item(self, item: Item) -> None:
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

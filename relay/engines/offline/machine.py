"""The server's side of one Realtime session, pure: client events and the time in, effects out."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.engines.offline import answering, clientevents, config, items
from relay.engines.offline.answering import Answering
from relay.engines.offline.conversation import Conversation
from relay.engines.offline.delivery import Pace
from relay.engines.offline.ids import NewId
from relay.engines.offline.items import Item
from relay.engines.offline.outgoing import Close, Effect, Outgoing
from relay.engines.offline.parts import Brain, Ear
from relay.engines.offline.refusals import Event, Refusal
from relay.engines.offline.responses import Request
from relay.engines.offline.transcripts import Transcripts
from relay.engines.offline.turns import InputAudio, Listening, Started, Stopped
from relay.interfaces import Frame

EXPIRED = "Your session hit the maximum duration of 60 minutes."


@dataclass(frozen=True, slots=True)
class Opening:
    """How a session begins: the model asked for, Unix seconds, and the pace of its answers."""

    model: str
    unix: int
    pace: Pace


class Machine:
    """One session. Every method returns what to do next, in order; `deadline` says when to tick.

    Nothing may be asked of it after a `Close`.
    """

    def __init__(self, opening: Opening, ear: Ear, brain: Brain, new_id: NewId) -> None:
        self._out = out = Outgoing(new_id)
        expires_at = opening.unix + config.SESSION_SECONDS
        self._settings = config.opening(new_id("sess"), opening.model, expires_at)
        self._conversation = Conversation(new_id("conv"))
        self._input = InputAudio(ear, new_id)
        self._transcripts = Transcripts(out)
        self._answering = Answering(brain, self._conversation, out, opening.pace)
        self._ends_at = math.inf
        self._handlers: dict[str, Callable[[Event, float], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve,
            "conversation.item.truncate": self._truncate,
            "conversation.item.delete": self._delete,
            "response.create": self._create_response,
            "response.cancel": self._cancel,
        }

    def begin(self, now: float) -> list[Effect]:
        """Open the session: `session.created`."""
        self._ends_at = now + config.SESSION_SECONDS
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
        return self._out.take()

    def transcribed(self, item_id: str, text: str | None, now: float) -> list[Effect]:
        """Take what the recogniser understood of an item: "" for nothing, None when it failed."""
        item = self._transcripts.arrived(item_id, text)
        if item is not None:
            self._answering.heard(item, now)
        return self._out.take()

    def spoken(self, response_id: str, pcm: bytes | None, now: float) -> list[Effect]:
        """Take the sound of an answer, None when the mouth failed."""
        if pcm is None:
            self._answering.fail(response_id, "The answer could not be spoken.")
        else:
            self._answering.spoken(response_id, pcm, now)
        return self._out.take()

    def tick(self, now: float) -> list[Effect]:
        """Do what has come due."""
        if now >= self._ends_at:
            self._ends_at = math.inf
            self._out.refuse(Refusal("session_expired", EXPIRED), None)
            self._out.do(Close(1001, EXPIRED))
        else:
            self._answering.advance(now)
        return self._out.take()

    def deadline(self, now: float) -> float:
        """Return when to call `tick`, infinity for never."""
        return min(self._answering.deadline(now), self._ends_at)

    @property
    def _turns(self) -> dict[str, Any]:
        return self._settings["audio"]["input"]["turn_detection"] or {}

    def _update(self, event: Event, now: float) -> None:
        change = event["session"]
        self._settings = config.update(self._settings, change, spoke=self._answering.spoke)
        self._out.emit("session.updated", session=copy.deepcopy(self._settings))

    def _append(self, event: Event, now: float) -> None:
        prefix_ms = self._turns.get("prefix_padding_ms", config.PREFIX_MS)
        listening = Listening(config.silence_ms(self._settings), prefix_ms)
        for happened in self._input.append(clientevents.pcm(event), listening):
            if isinstance(happened, Started):
                self._start_turn(happened, now)
            else:
                self._stop_turn(happened)

    def _start_turn(self, turn: Started, now: float) -> None:
        self._out.emit(
            "input_audio_buffer.speech_started",
            audio_start_ms=turn.audio_start_ms,
            item_id=turn.item_id,
        )
        if self._turns["interrupt_response"]:
            self._answering.interrupt(now)

    def _stop_turn(self, turn: Stopped) -> None:
        self._out.emit(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=turn.audio_end_ms,
            item_id=turn.item_id,
        )
        self._commit_item(items.spoken_by_user(turn.item_id, turn.pcm))
        if self._turns["create_response"]:
            self._answering.want(self._request({}))

    def _commit(self, event: Event, now: float) -> None:
        item_id, pcm = self._input.commit()
        self._commit_item(items.spoken_by_user(item_id, pcm))

    def _commit_item(self, item: Item) -> None:
        previous = self._conversation.last_id
        self._out.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item.id)
        self._add(item, None)

    def _clear(self, event: Event, now: float) -> None:
        self._input.clear()
        self._out.emit("input_audio_buffer.cleared")

    def _create_item(self, event: Event, now: float) -> None:
        item = items.from_client(event["item"], "item", self._out.new_id)
        self._add(item, self._conversation.place(event.get("previous_item_id")))

    def _add(self, item: Item, place: int | None) -> None:
        previous = self._conversation.add(item, place)
        body = copy.deepcopy(item.body)
        self._out.emit("conversation.item.added", previous_item_id=previous, item=body)
        self._out.emit("conversation.item.done", previous_item_id=previous, item=body)
        if item.words is None:
            transcription = self._settings["audio"]["input"]["transcription"]
            self._transcripts.ask(item, transcription["model"] if transcription else None)

    def _retrieve(self, event: Event, now: float) -> None:
        code = "item_retrieve_invalid_item_id"
        item = self._conversation.get(event["item_id"], "retrieving", code)
        self._out.emit("conversation.item.retrieved", item=items.retrieved(item))

    def _truncate(self, event: Event, now: float) -> None:
        code = "item_truncate_invalid_item_id"
        item = self._conversation.get(event["item_id"], "truncating", code)
        items.truncate(item, event["audio_end_ms"])
        self._out.emit(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=0,
            audio_end_ms=event["audio_end_ms"],
        )

    def _delete(self, event: Event, now: float) -> None:
        code = "item_delete_invalid_item_id"
        item = self._conversation.get(event["item_id"], "deleting", code)
        self._conversation.delete(item)
        self._out.emit("conversation.item.deleted", item_id=item.id)

    def _create_response(self, event: Event, now: float) -> None:
        self._answering.create(self._request(event.get("response") or {}), now)

    def _cancel(self, event: Event, now: float) -> None:
        self._answering.cancel(event.get("response_id"), now)

    def _request(self, asked: Event) -> Request:
        return answering.request(self._settings, asked, self._conversation, self._out)

"""When the results of tools may go up, and when the model is asked to go on with them."""

from dataclasses import dataclass
from typing import Any, Final

from relay.realtime.events import BadEvent, Event
from relay.realtime.recent import Recent

Json = dict[str, Any]

MAX_CALLS: Final = 16  # in hand at once, in one session; a model asks for one to three
MAX_ARGUMENTS: Final = 65_536  # characters of one call
MAX_OUTPUT: Final = 1_048_576  # characters of one result: the most that a tool may be granted
MAX_ROUNDS: Final = 10  # in a row; then the model must answer without another call
_REMEMBERED_ROUNDS: Final = 1024  # responses, and calls that were begun

_STAMP: Final = "relay-tool-"  # on the events of ours; the ledger lets it pass
_BUSY: Final = "conversation_already_has_active_response"
_KEPT: Final = ("metadata", "output_modalities", "max_output_tokens")
"""What a response tells of the wishes it was made with, so that the next can be made alike."""

TOO_MANY: Final = (
    '{"error":{"code":"too_many_calls","message":"Too many tools are at work. Try again later."}}'
)
TOO_LONG_ASKED: Final = (
    '{"error":{"code":"arguments_too_long","message":"The arguments are too long."}}'
)
TOO_LONG_ANSWERED: Final = (
    '{"error":{"code":"too_big","message":"The tool answered more than can be used."}}'
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A `response.create` of ours on its way: its event id and what it wished for."""

    event_id: str
    wish: Json
    informed: bool  # the response that was created meanwhile knows the results


class Rounds:
    """Follows the responses of the conversation and the calls made in them.

    Results go up when no response is in progress; when none is missing any more, the model is asked
    once to go on. While somebody speaks it is not asked: it would talk into their words. A client
    that asks meanwhile waits until the results are there, and its wish takes the place of ours.
    """

    def __init__(self) -> None:
        self._active: str | None = None
        self._finished = Recent(_REMEMBERED_ROUNDS)
        self._begun = Recent(_REMEMBERED_ROUNDS)
        self._called: set[str] = set()  # responses in progress in which a call was made
        self._open: set[str] = set()  # call ids whose result is missing
        self._results: list[tuple[str, str]] = []
        self._unconfirmed: set[str] = set()  # call ids whose result is on its way
        self._wish: Json | None = None
        self._asked: _Asked | None = None
        self._held: Event | None = None
        self._speaking = False
        self._in_a_row = 0
        self._stamps = 0

    @property
    def is_owing(self) -> bool:
        """Whether the model will be asked to go on and was not asked yet."""
        return self._wish is not None and self._held is None and self._active is None

    def created(self, response_id: str) -> bool:
        """A response of the conversation began; False when that was known."""
        if response_id == self._active or response_id in self._finished:
            return False
        self._active = response_id
        informed = not (self._unconfirmed or self._results or self._open)
        self._unconfirmed.clear()
        if informed:
            self._wish = None
        if self._asked is not None:
            self._asked = _Asked(self._asked.event_id, self._asked.wish, informed)
        return True

    def begin(self, response_id: str, call_id: str, arguments: str) -> bool:
        """A call is complete; whether it shall be carried out. Otherwise it is answered here."""
        if call_id in self._begun or response_id in self._finished:
            return False
        self._begun.add(call_id)
        self._active = self._active or response_id  # where its `response.created` was missed
        self._called.add(response_id)
        if len(self._open) + len(self._results) >= MAX_CALLS:
            self._results.append((call_id, TOO_MANY))
        elif len(arguments) > MAX_ARGUMENTS:
            self._results.append((call_id, TOO_LONG_ASKED))
        else:
            self._open.add(call_id)
            return True
        return False

    def done(self, response: Json, *, client_answers: bool) -> bool:
        """A response of the conversation ended; whether we owe the model a chance to go on.

        With `client_answers` the client was called in it too, and so asks the model itself.
        """
        response_id = str(response.get("id"))
        if response_id in self._finished:
            return False
        self._finished.add(response_id)
        if self._active == response_id:
            self._active = None
        if response_id not in self._called:
            self._in_a_row = 0
            return False
        self._called.discard(response_id)
        if client_answers or response.get("status") not in ("completed", "incomplete"):
            return False
        self._in_a_row += 1
        self._wish = {name: response[name] for name in _KEPT if response.get(name) is not None}
        if self._in_a_row >= MAX_ROUNDS:
            self._wish["tool_choice"] = "none"
        return True

    def result(self, call_id: str, output: str) -> None:
        """A tool answered; one that nobody waits for is dropped."""
        if call_id not in self._open:
            return
        self._open.discard(call_id)
        kept = output if len(output) <= MAX_OUTPUT else TOO_LONG_ANSWERED
        self._results.append((call_id, kept))

    def confirmed(self, call_id: str) -> None:
        """The engine has taken a result into the conversation."""
        self._unconfirmed.discard(call_id)

    def speaks(self, speaking: bool) -> None:
        """Somebody begins or ends to speak."""
        self._speaking = speaking

    def release(self) -> list[Event]:
        """What may go up by now."""
        if self._active is not None:
            return []
        events = [self._output(call_id, output) for call_id, output in self._results]
        self._results.clear()
        if self._open:
            return events
        if self._held is not None:
            events.append(self._held)
            self._held = self._wish = None
        elif self._wish is not None and not self._speaking:
            events.append(self._create(self._wish))
            self._wish = None
        return events

    def client_asks(self, event: Event) -> list[Event]:
        """What goes up for a client's `response.create`; raises BadEvent for one too many."""
        response = event.get("response")
        apart = isinstance(response, dict) and response.get("conversation") == "none"
        if apart or self._active is not None or not self._open:
            return [event]
        if self._held is not None:
            raise BadEvent(
                "Conversation already has an active response in progress. "
                "Wait until the response is finished before creating a new one.",
                code=_BUSY,
                event_id=event.get("event_id"),
            )
        self._held = event
        return []

    def client_cancels(self, event: Event) -> list[Event]:
        """What goes up for a client's `response.cancel`: first its own wish that waited."""
        held, self._held = self._held, None
        self._wish = self._asked = None
        return [event] if held is None else [held, event]

    def is_ours(self, event_id: Any) -> bool:
        """Whether an event of this id was made here."""
        return isinstance(event_id, str) and event_id.startswith(_STAMP)

    def refused(self, event_id: str, code: Any) -> bool:
        """The engine refused an event of ours; True when the model will not go on by itself.

        Where another response was faster, it is asked again after that one, unless that one was
        begun with the results in hand.
        """
        asked = self._asked
        if asked is None or asked.event_id != event_id:
            return False  # a result that was not taken: the model is asked all the same
        self._asked = None
        if code == _BUSY and not asked.informed:
            self._wish = self._wish or asked.wish
        return bool(code != _BUSY)

    def _output(self, call_id: str, output: str) -> Event:
        self._unconfirmed.add(call_id)
        item = {"type": "function_call_output", "call_id": call_id, "output": output}
        return {"type": "conversation.item.create", "event_id": self._stamp(), "item": item}

    def _create(self, wish: Json) -> Event:
        event: Event = {"type": "response.create", "event_id": self._stamp()}
        self._asked = _Asked(event["event_id"], wish, informed=False)
        return {**event, "response": wish} if wish else event

    def _stamp(self) -> str:
        self._stamps += 1
        return f"{_STAMP}{self._stamps}"

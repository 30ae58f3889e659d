"""Server-side tools: the model's calls of them are carried out here, and the client sees none."""

from dataclasses import dataclass
from typing import Any, Final

from relay.realtime.effects import CallTool, Effect, RuleOutcome, ToolCall
from relay.realtime.events import BadEvent, Event
from relay.realtime.items import HiddenItems, RecentIds

# ---- When the results of tools may go up, and when the model is asked to go on with them.

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


class ToolRounds:
    """Follows the responses of the conversation and the calls made in them.

    Results go up when no response is in progress; when none is missing any more, the model is asked
    once to go on. While somebody speaks it is not asked: it would talk into their words. A client
    that asks meanwhile waits until the results are there, and its wish takes the place of ours.
    """

    def __init__(self) -> None:
        self._active: str | None = None
        self._finished = RecentIds(_REMEMBERED_ROUNDS)
        self._begun = RecentIds(_REMEMBERED_ROUNDS)
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


_REMEMBERED_RESPONSES: Final = 1024  # responses outside the conversation
_SPEECH: Final = {
    "input_audio_buffer.speech_started": True,
    "input_audio_buffer.speech_stopped": False,
    "input_audio_buffer.committed": False,
    "input_audio_buffer.cleared": False,
}
_CANCELLED: Final = {"type": "cancelled", "reason": "client_cancelled"}


class ServerTools:
    """Feed it the engine's events of the types in `reads`, every client event, and the results.

    The client is shown the events it would have had from a model without these tools. A response in
    which nothing but such tools was called is not shown at all: the one that follows stands for it.
    One in which more happened is shown without the calls. `output_index` stays as the engine
    counts it: it names a place and is no count, and the sound that carries it passes undecoded.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._items = HiddenItems(names)
        self._rounds = ToolRounds()
        self._apart = RecentIds(_REMEMBERED_RESPONSES)
        self._created: Event | None = None  # `response.created`, until its first visible item
        self._unshown: tuple[Event, Event] | None = None  # a whole response, until the next begins
        self._unshown_ids = RecentIds(_REMEMBERED_RESPONSES)

    reads: Final = frozenset(
        {
            *_SPEECH,
            *("response.created", "response.done", "error"),
            *("response.output_item.added", "response.output_item.done"),
            *("response.function_call_arguments.delta", "response.function_call_arguments.done"),
            *("conversation.item.added", "conversation.item.created", "conversation.item.done"),
            *("conversation.item.retrieved", "conversation.item.truncated"),
            "conversation.item.deleted",
        }
    )

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event without a trace of hidden calls; replies with results and wishes to go on."""
        kind = event["type"]
        if kind == "response.created":
            return self._response_created(event)
        if kind == "response.done":
            return self._response_done(event)
        if kind == "error":
            return self._error(event)
        calls: list[Effect] = []
        if kind == "response.output_item.done":
            calls = self._calls([event.get("item")], event.get("response_id"))
        shown = self._seen(event)
        if kind not in _SPEECH:
            return RuleOutcome(shown, after=calls)
        self._rounds.speaks(_SPEECH[kind])
        return RuleOutcome(shown, self._rounds.release())

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event when it may go up; raises BadEvent where it names what is hidden."""
        self._items.check(event)
        if event["type"] == "response.create":
            return RuleOutcome(self._rounds.client_asks(event))
        if event["type"] != "response.cancel" or event.get("response_id") is not None:
            return RuleOutcome([event])
        if self._unshown is None or not self._rounds.is_owing:
            return RuleOutcome(self._rounds.client_cancels(event))
        created, done = self._unshown
        self._unshown = None
        self._rounds.client_cancels(event)
        over = {**done["response"], "status": "cancelled", "status_details": _CANCELLED}
        return RuleOutcome(replies=[created, {**done, "response": over}])

    def relinked(self, event: Event) -> Event:
        """An event with a predecessor that the client knows."""
        return self._items.relinked(event)

    def result(self, call_id: str, output: str) -> list[Event]:
        """What a tool answered; returns what goes up now. One that nobody waits for is dropped."""
        self._rounds.result(call_id, output)
        return self._rounds.release()

    def _seen(self, event: Event) -> list[Event]:
        if not self._items.hides(event):
            return [*self._opened(event.get("response_id")), self._items.relinked(event)]
        item = event.get("item")
        if isinstance(item, dict) and item.get("type") == "function_call_output":
            self._rounds.confirmed(str(item.get("call_id")))
        return []

    def _opened(self, response_id: Any) -> list[Event]:
        """The `response.created` of this response, if it was not shown yet."""
        created = self._created
        if created is None or created["response"].get("id") != response_id:
            return []
        self._created = None
        return [created]

    def _response_created(self, event: Event) -> RuleOutcome:
        response = event.get("response")
        if not isinstance(response, dict):
            return RuleOutcome([event])
        response_id = str(response.get("id"))
        if response.get("conversation_id", "") is None:
            self._apart.add(response_id)
            return RuleOutcome([event])
        if response_id in self._unshown_ids:
            return RuleOutcome()
        if not self._rounds.created(response_id):
            return RuleOutcome([event] if self._created is None else [])
        before, self._created, self._unshown = self._created, event, None
        return RuleOutcome([before] if before is not None else [])

    def _response_done(self, event: Event) -> RuleOutcome:
        response = event.get("response")
        if not isinstance(response, dict):
            return RuleOutcome([event])
        response_id, status = response.get("id"), response.get("status")
        output = response.get("output")
        given = output if isinstance(output, list) else []
        visible = self._items.visible(given)
        calls = self._calls(given, response_id) if status in ("completed", "incomplete") else []
        if len(visible) < len(given):
            event = {**event, "response": {**response, "output": visible}}
        if response_id in self._unshown_ids:
            return RuleOutcome()
        if response_id in self._apart:
            return RuleOutcome([event])
        owing = self._rounds.done(response, client_answers=any(map(_is_call, visible)))
        created = self._opened(response_id)
        if owing and created and not visible and status == "completed":
            self._unshown = (created[0], event)
            self._unshown_ids.add(str(response_id))
            return RuleOutcome([], self._rounds.release(), after=calls)
        return RuleOutcome([*created, event], self._rounds.release(), after=calls)

    def _calls(self, items: list[Any], response_id: Any) -> list[Effect]:
        """The calls among these items that shall be carried out.

        One in a response outside the conversation is not: there is no way to tell it the result.
        """
        if not isinstance(response_id, str) or response_id in self._apart:
            return []
        calls = [_call(item) for item in items if self._items.is_call(item)]
        return [
            CallTool(call)
            for call in calls
            if call is not None and self._rounds.begin(response_id, call.call_id, call.arguments)
        ]

    def _error(self, event: Event) -> RuleOutcome:
        fault = event.get("error")
        event_id = fault.get("event_id") if isinstance(fault, dict) else None
        if not isinstance(fault, dict) or not self._rounds.is_ours(event_id):
            return RuleOutcome([event])
        if not self._rounds.refused(str(event_id), fault.get("code")) or self._unshown is None:
            return RuleOutcome()
        unshown, self._unshown = self._unshown, None
        return RuleOutcome(list(unshown))


def _is_call(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "function_call"


def _call(item: dict[str, Any]) -> ToolCall | None:
    """The call that an item is, None where it is not complete."""
    if item.get("status", "completed") != "completed":
        return None
    values = [item.get(name) for name in ("call_id", "id", "name", "arguments")]
    return ToolCall(*map(str, values)) if all(isinstance(v, str) for v in values) else None

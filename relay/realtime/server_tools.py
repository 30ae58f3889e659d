"""Hides the server's own tools from the client and carries their results to the model.

The client is shown the events of a model without these tools. Nothing here runs a tool: calls go
out as `CallTool` effects, and results come in through `ServerTools.result`.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from relay.realtime.effects import CallTool, Effect, RuleOutcome, ToolCall
from relay.realtime.events import BadEvent, Event
from relay.realtime.items import HiddenItems, RecentIds

Json = dict[str, Any]

MAX_CALLS: Final = 16  # running in one session at once; a model makes one to three
MAX_ARGUMENTS: Final = 65_536  # characters of one call
MAX_OUTPUT: Final = 1_048_576  # characters of one result: the most that a tool may be granted
MAX_ROUNDS: Final = 10  # in a row; then the model must answer without another call, or be silent
_MAX_REMEMBERED: Final = 1024  # ids of responses and calls, each kind

TOO_MANY_CALLS: Final = (
    '{"error":{"code":"too_many_calls","message":"Too many tools are at work. Try again later."}}'
)
ARGUMENTS_TOO_LONG: Final = (
    '{"error":{"code":"arguments_too_long","message":"The arguments are too long."}}'
)
TOO_MANY_ROUNDS: Final = (
    '{"error":{"code":"too_many_rounds","message":"No more tools for this answer."}}'
)
OUTPUT_TOO_BIG: Final = (
    '{"error":{"code":"too_big","message":"The tool answered more than can be used."}}'
)

_SPEECH: Final = {
    "input_audio_buffer.speech_started": True,
    "input_audio_buffer.speech_stopped": False,
    "input_audio_buffer.committed": False,
    "input_audio_buffer.cleared": False,
}
"""Events that tell whether the learner is speaking."""

_INHERITED: Final = ("metadata", "output_modalities", "max_output_tokens")
"""Parameters of a response that the response which follows its calls takes over."""

_EVENT_PREFIX: Final = "relay-tool-"  # of the ids of events made here
_BUSY: Final = "conversation_already_has_active_response"
_CANCELLED: Final = {"type": "cancelled", "reason": "client_cancelled"}


class ServerTools:
    """Takes the engine's events of the types in `reads`, all client events, and tool results.

    A response that did nothing but call server-side tools is hidden: the one that follows stands
    in for it. A response that did more is shown without the calls. `output_index` stays as the
    engine counts it: it names a position and is not a count, and audio that carries it passes
    undecoded.
    """

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

    def __init__(self, names: frozenset[str]) -> None:
        self._items = HiddenItems(names)
        self._rounds = ToolRounds()
        self._out_of_band = RecentIds(_MAX_REMEMBERED)  # response ids
        self._held_created: Event | None = None  # until its response has a visible item
        self._hidden: tuple[Event, Event] | None = None  # a whole response, until the next begins
        self._hidden_ids = RecentIds(_MAX_REMEMBERED)

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event without a trace of hidden calls; replies with results and follow-ups."""
        kind = event["type"]
        if kind == "response.created":
            return self._response_created(event)
        if kind == "response.done":
            return self._response_done(event)
        if kind == "error":
            return self._error(event)
        calls: list[Effect] = []
        if kind == "response.output_item.done":
            calls = self._start_calls([event.get("item")], event.get("response_id"))
        visible = self._visible(event)
        if kind not in _SPEECH:
            return RuleOutcome(visible, after=calls)
        self._rounds.is_user_speaking = _SPEECH[kind]
        return RuleOutcome(visible, self._rounds.release())

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event, once it may be sent; raises BadEvent if it names a hidden item."""
        self._items.check(event)
        if event["type"] == "response.create":
            return RuleOutcome(self._rounds.client_create(event))
        if event["type"] != "response.cancel" or event.get("response_id") is not None:
            return RuleOutcome([event])
        if self._hidden is None or not self._rounds.owes_follow_up:
            return RuleOutcome(self._rounds.client_cancel(event))
        created, done = self._hidden
        self._hidden = None
        self._rounds.client_cancel(event)
        cancelled = {**done["response"], "status": "cancelled", "status_details": _CANCELLED}
        return RuleOutcome(replies=[created, {**done, "response": cancelled}])

    def result(self, call_id: str, output: str) -> list[Event]:
        """Take a tool's result; returns the events to send to the engine now.

        The result of a call that is not running is dropped.
        """
        self._rounds.add_result(call_id, output)
        return self._rounds.release()

    def relinked(self, event: Event) -> Event:
        """The event with a `previous_item_id` that the client knows."""
        return self._items.relinked(event)

    def _visible(self, event: Event) -> list[Event]:
        if not self._items.hides(event):
            return [*self._take_created(event.get("response_id")), self._items.relinked(event)]
        item = event.get("item")
        if isinstance(item, dict) and item.get("type") == "function_call_output":
            self._rounds.confirm_result(str(item.get("call_id")))
        return []

    def _take_created(self, response_id: Any) -> list[Event]:
        """The `response.created` of this response, if it was held back until now."""
        created = self._held_created
        if created is None or created["response"].get("id") != response_id:
            return []
        self._held_created = None
        return [created]

    def _response_created(self, event: Event) -> RuleOutcome:
        response = event.get("response")
        if not isinstance(response, dict):
            return RuleOutcome([event])
        response_id = str(response.get("id"))
        if response.get("conversation_id", "") is None:
            self._out_of_band.add(response_id)
            return RuleOutcome([event])
        if response_id in self._hidden_ids:
            return RuleOutcome()
        if not self._rounds.response_created(response_id):
            return RuleOutcome([event] if self._held_created is None else [])
        before, self._held_created, self._hidden = self._held_created, event, None
        return RuleOutcome([before] if before is not None else [])

    def _response_done(self, event: Event) -> RuleOutcome:
        response = event.get("response")
        if not isinstance(response, dict):
            return RuleOutcome([event])
        response_id, status = response.get("id"), response.get("status")
        output = response.get("output")
        items = output if isinstance(output, list) else []
        visible = self._items.visible(items)
        is_whole = status in ("completed", "incomplete")
        calls = self._start_calls(items, response_id) if is_whole else []
        if len(visible) < len(items):
            event = {**event, "response": {**response, "output": visible}}
        if response_id in self._hidden_ids:
            return RuleOutcome()
        if response_id in self._out_of_band:
            return RuleOutcome([event])
        has_client_call = any(map(_is_call, visible))
        owes_follow_up = self._rounds.response_done(response, has_client_call=has_client_call)
        created = self._take_created(response_id)
        if owes_follow_up and created and not visible and status == "completed":
            self._hidden = (created[0], event)
            self._hidden_ids.add(str(response_id))
            return RuleOutcome([], self._rounds.release(), after=calls)
        return RuleOutcome([*created, event], self._rounds.release(), after=calls)

    def _start_calls(self, items: list[Any], response_id: Any) -> list[Effect]:
        """The calls among these items that are to be run.

        Calls of a response outside the conversation are not: there is no way to return a result.
        """
        if not isinstance(response_id, str) or response_id in self._out_of_band:
            return []
        calls = [_read_call(item) for item in items if self._items.is_call(item)]
        return [
            CallTool(call)
            for call in calls
            if call is not None and self._rounds.start(response_id, call)
        ]

    def _error(self, event: Event) -> RuleOutcome:
        error = event.get("error")
        event_id = error.get("event_id") if isinstance(error, dict) else None
        if not isinstance(error, dict) or not self._rounds.is_ours(event_id):
            return RuleOutcome([event])
        if not self._rounds.refused(str(event_id), error.get("code")) or self._hidden is None:
            return RuleOutcome()
        hidden, self._hidden = self._hidden, None
        return RuleOutcome(list(hidden))


@dataclass(frozen=True, slots=True)
class _FollowUp:
    """A `response.create` of ours on its way.

    `superseded` says that a response has begun since which knows all the results.
    """

    event_id: str
    parameters: Json
    superseded: bool = False


class ToolRounds:
    """Decides when results are sent and when the model is asked to continue with them.

    Results are sent when no response is in progress; once none is missing, the model is asked to
    continue, exactly once, but not while the learner speaks: it would interrupt them. A client's
    own `response.create` waits until the results are there and then takes the place of ours.
    """

    def __init__(self) -> None:
        self.is_user_speaking = False
        self._active: str | None = None  # the response in progress
        self._finished = RecentIds(_MAX_REMEMBERED)  # response ids
        self._with_calls: set[str] = set()  # responses in progress in which a call was made
        self._started = RecentIds(_MAX_REMEMBERED)  # call ids
        self._running: set[str] = set()  # call ids whose result is missing
        self._results: list[tuple[str, str]] = []  # call id and output, not sent yet
        self._unconfirmed: set[str] = set()  # call ids whose result was sent
        self._owed: Json | None = None  # parameters of the follow-up that is to be asked for
        self._follow_up: _FollowUp | None = None
        self._client_create: Event | None = None  # the client's `response.create` that waits
        self._rounds = 0  # in a row
        self._events = 0

    @property
    def owes_follow_up(self) -> bool:
        """Whether the model is still to be asked to continue."""
        return self._owed is not None and self._client_create is None and self._active is None

    def response_created(self, response_id: str) -> bool:
        """Note that a response of the conversation began; False for a repeat."""
        if response_id == self._active or response_id in self._finished:
            return False
        self._active = response_id
        knows_results = not (self._unconfirmed or self._results or self._running)
        self._unconfirmed.clear()
        if knows_results:
            self._owed = None
        if self._follow_up is not None:
            self._follow_up = replace(self._follow_up, superseded=knows_results)
        return True

    def start(self, response_id: str, call: ToolCall) -> bool:
        """Note a complete call; True if it is to be run.

        A call beyond the limits gets its result here, a repeated one none. One that comes although
        the model was told to make no more is answered so, and the model is not asked to continue.
        """
        if call.call_id in self._started or response_id in self._finished:
            return False
        self._started.add(call.call_id)
        self._active = self._active or response_id  # where its `response.created` was missed
        self._with_calls.add(response_id)
        if self._rounds >= MAX_ROUNDS:  # it was told to call none
            self._results.append((call.call_id, TOO_MANY_ROUNDS))
        elif len(self._running) + len(self._results) >= MAX_CALLS:
            self._results.append((call.call_id, TOO_MANY_CALLS))
        elif len(call.arguments) > MAX_ARGUMENTS:
            self._results.append((call.call_id, ARGUMENTS_TOO_LONG))
        else:
            self._running.add(call.call_id)
            return True
        return False

    def response_done(self, response: Json, *, has_client_call: bool) -> bool:
        """Note that a response of the conversation ended; True if the model is owed a follow-up.

        With `has_client_call` it called a tool of the client's as well, and the client asks for
        the follow-up.
        """
        response_id = str(response.get("id"))
        if response_id in self._finished:
            return False
        self._finished.add(response_id)
        if self._active == response_id:
            self._active = None
        if response_id not in self._with_calls:
            self._rounds = 0
            return False
        self._with_calls.discard(response_id)
        if self._rounds >= MAX_ROUNDS:  # an engine that ignores `tool_choice` would go on for ever
            self._rounds = 0
            return False
        if has_client_call or response.get("status") not in ("completed", "incomplete"):
            return False
        self._rounds += 1
        self._owed = {name: response[name] for name in _INHERITED if response.get(name) is not None}
        if self._rounds >= MAX_ROUNDS:
            self._owed["tool_choice"] = "none"
        return True

    def add_result(self, call_id: str, output: str) -> None:
        """Take a tool's result; that of a call that is not running is dropped."""
        if call_id not in self._running:
            return
        self._running.discard(call_id)
        self._results.append((call_id, output if len(output) <= MAX_OUTPUT else OUTPUT_TOO_BIG))

    def confirm_result(self, call_id: str) -> None:
        """Note that the engine has taken a result into the conversation."""
        self._unconfirmed.discard(call_id)

    def release(self) -> list[Event]:
        """Take out the events that may be sent to the engine now."""
        if self._active is not None:
            return []
        events = [self._output_event(call_id, output) for call_id, output in self._results]
        self._results.clear()
        if self._running:
            return events
        if self._client_create is not None:
            events.append(self._client_create)
            self._client_create = self._owed = None
        elif self._owed is not None and not self.is_user_speaking:
            events.append(self._create_event(self._owed))
            self._owed = None
        return events

    def client_create(self, event: Event) -> list[Event]:
        """Take a client's `response.create`; returns what to send now, or raises BadEvent.

        While tools run it waits, and a second one is refused as the API refuses it.
        """
        response = event.get("response")
        out_of_band = isinstance(response, dict) and response.get("conversation") == "none"
        if out_of_band or self._active is not None or not self._running:
            return [event]
        if self._client_create is not None:
            raise BadEvent(
                "Conversation already has an active response in progress. "
                "Wait until the response is finished before creating a new one.",
                code=_BUSY,
                event_id=event.get("event_id"),
            )
        self._client_create = event
        return []

    def client_cancel(self, event: Event) -> list[Event]:
        """Take a client's `response.cancel`; returns what to send: first its create that waited."""
        waiting, self._client_create = self._client_create, None
        self._owed = self._follow_up = None
        return [event] if waiting is None else [waiting, event]

    def is_ours(self, event_id: Any) -> bool:
        """Whether this is the id of an event made here."""
        return isinstance(event_id, str) and event_id.startswith(_EVENT_PREFIX)

    def refused(self, event_id: str, code: Any) -> bool:
        """Note that the engine refused an event of ours; True if no follow-up will come.

        A follow-up that met another response is asked for again after it, unless that response
        knows the results.
        """
        follow_up = self._follow_up
        if follow_up is None or follow_up.event_id != event_id:
            return False  # a result that was not taken: the model is asked all the same
        self._follow_up = None
        if code == _BUSY and not follow_up.superseded:
            self._owed = self._owed or follow_up.parameters
        return bool(code != _BUSY)

    def _output_event(self, call_id: str, output: str) -> Event:
        self._unconfirmed.add(call_id)
        item = {"type": "function_call_output", "call_id": call_id, "output": output}
        return {"type": "conversation.item.create", "event_id": self._event_id(), "item": item}

    def _create_event(self, parameters: Json) -> Event:
        event: Event = {"type": "response.create", "event_id": self._event_id()}
        self._follow_up = _FollowUp(event["event_id"], parameters)
        return {**event, "response": parameters} if parameters else event

    def _event_id(self) -> str:
        self._events += 1
        return f"{_EVENT_PREFIX}{self._events}"


def _is_call(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "function_call"


def _read_call(item: Json) -> ToolCall | None:
    """The call in a `function_call` item; None for one that is not complete."""
    if item.get("status", "completed") != "completed":
        return None
    values = [item.get(name) for name in ("call_id", "id", "name", "arguments")]
    return ToolCall(*map(str, values)) if all(isinstance(v, str) for v in values) else None

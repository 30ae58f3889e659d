"""Server-side tools: the model's calls of them are carried out here, and the client sees none."""

from dataclasses import dataclass, field
from typing import Any, Final

from relay.realtime.events import Event
from relay.realtime.hidden_items import HiddenItems
from relay.realtime.recent import Recent
from relay.realtime.tool_rounds import Rounds

_REMEMBERED_RESPONSES: Final = 1024  # responses outside the conversation
_SPEECH: Final = {
    "input_audio_buffer.speech_started": True,
    "input_audio_buffer.speech_stopped": False,
    "input_audio_buffer.committed": False,
    "input_audio_buffer.cleared": False,
}
_CANCELLED: Final = {"type": "cancelled", "reason": "client_cancelled"}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a server-side tool; `arguments` is the JSON that the model wrote, unchecked."""

    call_id: str
    item_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Handled:
    """What an event led to: what the client sees, the calls to carry out, what goes up."""

    shown: list[Event] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    ask: list[Event] = field(default_factory=list)


class ToolDesk:
    """Feed it the engine's events of the types in `reads`, every client event, and the results.

    The client is shown the events it would have had from a model without these tools. A response in
    which nothing but such tools was called is not shown at all: the one that follows stands for it.
    One in which more happened is shown without the calls. `output_index` stays as the engine
    counts it: it names a place and is no count, and the sound that carries it passes undecoded.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._items = HiddenItems(names)
        self._rounds = Rounds()
        self._apart = Recent(_REMEMBERED_RESPONSES)
        self._created: Event | None = None  # `response.created`, until its first visible item
        self._unshown: tuple[Event, Event] | None = None  # a whole response, until the next begins
        self._unshown_ids = Recent(_REMEMBERED_RESPONSES)

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

    def from_engine(self, event: Event) -> Handled:
        """An event on its way down."""
        kind = event["type"]
        if kind == "response.created":
            return self._response_created(event)
        if kind == "response.done":
            return self._response_done(event)
        if kind == "error":
            return self._error(event)
        calls: list[ToolCall] = []
        if kind == "response.output_item.done":
            calls = self._calls([event.get("item")], event.get("response_id"))
        shown = self._seen(event)
        if kind not in _SPEECH:
            return Handled(shown, calls)
        self._rounds.speaks(_SPEECH[kind])
        return Handled(shown, calls, self._rounds.release())

    def from_client(self, event: Event) -> Handled:
        """A client's event as it would go up; raises BadEvent where it names what is hidden."""
        self._items.check(event)
        if event["type"] == "response.create":
            return Handled(ask=self._rounds.client_asks(event))
        if event["type"] != "response.cancel" or event.get("response_id") is not None:
            return Handled(ask=[event])
        if self._unshown is None or not self._rounds.is_owing:
            return Handled(ask=self._rounds.client_cancels(event))
        created, done = self._unshown
        self._unshown = None
        self._rounds.client_cancels(event)
        over = {**done["response"], "status": "cancelled", "status_details": _CANCELLED}
        return Handled([created, {**done, "response": over}])

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

    def _response_created(self, event: Event) -> Handled:
        response = event.get("response")
        if not isinstance(response, dict):
            return Handled([event])
        response_id = str(response.get("id"))
        if response.get("conversation_id", "") is None:
            self._apart.add(response_id)
            return Handled([event])
        if response_id in self._unshown_ids:
            return Handled()
        if not self._rounds.created(response_id):
            return Handled([event] if self._created is None else [])
        before, self._created, self._unshown = self._created, event, None
        return Handled([before] if before is not None else [])

    def _response_done(self, event: Event) -> Handled:
        response = event.get("response")
        if not isinstance(response, dict):
            return Handled([event])
        response_id, status = response.get("id"), response.get("status")
        output = response.get("output")
        given = output if isinstance(output, list) else []
        visible = self._items.visible(given)
        calls = self._calls(given, response_id) if status in ("completed", "incomplete") else []
        if len(visible) < len(given):
            event = {**event, "response": {**response, "output": visible}}
        if response_id in self._unshown_ids:
            return Handled()
        if response_id in self._apart:
            return Handled([event])
        owing = self._rounds.done(response, client_answers=any(map(_is_call, visible)))
        created = self._opened(response_id)
        if owing and created and not visible and status == "completed":
            self._unshown = (created[0], event)
            self._unshown_ids.add(str(response_id))
            return Handled([], calls, self._rounds.release())
        return Handled([*created, event], calls, self._rounds.release())

    def _calls(self, items: list[Any], response_id: Any) -> list[ToolCall]:
        """The calls among these items that shall be carried out.

        One in a response outside the conversation is not: there is no way to tell it the result.
        """
        if not isinstance(response_id, str) or response_id in self._apart:
            return []
        calls = [_call(item) for item in items if self._items.is_call(item)]
        return [
            call
            for call in calls
            if call is not None and self._rounds.begin(response_id, call.call_id, call.arguments)
        ]

    def _error(self, event: Event) -> Handled:
        fault = event.get("error")
        event_id = fault.get("event_id") if isinstance(fault, dict) else None
        if not isinstance(fault, dict) or not self._rounds.is_ours(event_id):
            return Handled([event])
        if not self._rounds.refused(str(event_id), fault.get("code")) or self._unshown is None:
            return Handled()
        unshown, self._unshown = self._unshown, None
        return Handled(list(unshown))


def _is_call(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "function_call"


def _call(item: dict[str, Any]) -> ToolCall | None:
    """The call that an item is, None where it is not complete."""
    if item.get("status", "completed") != "completed":
        return None
    values = [item.get(name) for name in ("call_id", "id", "name", "arguments")]
    return ToolCall(*map(str, values)) if all(isinstance(v, str) for v in values) else None

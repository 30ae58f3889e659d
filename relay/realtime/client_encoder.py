"""What one client is told, in the dialect it reads and without what its grant hides; pure."""

from typing import Any, Final

from relay.realtime import events
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.effects import Effect, ToClient
from relay.realtime.events import BadEvent, Event, Frame
from relay.realtime.grant import Grant

# ---- What the server hides, taken out of what a client is shown of its session and its responses.

SCRUBBED: Final = frozenset({"session.created", "session.updated"}) | frozenset(
    {"response.created", "response.done"}
)
"""Events that may have to change before they are shown, so that they must be decoded."""

HIDEABLE: Final = frozenset({"instructions", "server_tools", "tools", "voice"})
"""What an agent may hide."""

_BODIES: Final = ("session", "response")
Json = dict[str, Any]


def redact_for_client(event: Event, grant: Grant) -> Event:
    """The event without what this client is not shown; the same object where that is nothing.

    Works on GA shapes, before a view translates them. Instructions are shown as an empty text,
    hidden tools are left out of lists, any other hidden field is left out.
    """
    for name in _BODIES:
        body = event.get(name)
        if isinstance(body, dict):
            shown = _body(body, grant)
            if shown is not body:
                event = {**event, name: shown}
    return event


def _body(body: Json, grant: Grant) -> Json:
    changes: Json = {}
    if "instructions" in grant.hidden and _is_ours(body.get("instructions"), grant):
        changes["instructions"] = ""
    for name, shown in (("tools", _tools(body, grant)), ("output", _output(body, grant))):
        if shown is not body.get(name):
            changes[name] = shown
    if _named(body.get("tool_choice"), _hidden_names(grant)):
        changes["tool_choice"] = "auto"
    if "voice" in grant.hidden and (audio := _voiceless(body.get("audio"))) is not None:
        changes["audio"] = audio
    return {**body, **changes} if changes else body


def _is_ours(instructions: Any, grant: Grant) -> bool:
    """Whether they hold the server's; where those are locked, an engine may have reworded them."""
    if grant.instructions is None or not instructions:
        return False
    if "instructions" in grant.locked:
        return True
    return isinstance(instructions, str) and grant.instructions.strip() in instructions


def _tools(body: Json, grant: Grant) -> Any:
    tools = body.get("tools")
    if not isinstance(tools, list):
        return tools
    hidden = _hidden_names(grant)
    return _left(tools, [tool for tool in tools if not _named(tool, hidden)])


def _output(body: Json, grant: Grant) -> Any:
    output = body.get("output")
    if not isinstance(output, list):
        return output
    return _left(output, [item for item in output if not _is_hidden_call(item, grant)])


def _is_hidden_call(item: Any, grant: Grant) -> bool:
    if "server_tools" not in grant.hidden or not isinstance(item, dict):
        return False
    return item.get("type") == "function_call" and _named(item, grant.server_tool_names)


def _left(whole: list[Any], left: list[Any]) -> list[Any]:
    return whole if len(left) == len(whole) else left


def _hidden_names(grant: Grant) -> frozenset[str]:
    names = grant.server_tool_names if "server_tools" in grant.hidden else frozenset()
    if "tools" in grant.hidden:
        names |= {tool["name"] for tool in grant.tools or () if "name" in tool}
    return names


def _named(thing: Any, names: frozenset[str]) -> bool:
    name = thing.get("name") if isinstance(thing, dict) else None
    return isinstance(name, str) and name in names


def _voiceless(audio: Any) -> Json | None:
    """The audio settings without their voice, None where there is none in them."""
    output = audio.get("output") if isinstance(audio, dict) else None
    if not isinstance(output, dict) or "voice" not in output:
        return None
    return {**audio, "output": {name: output[name] for name in output if name != "voice"}}


class ClientEncoder:
    """The last step of an event on its way down."""

    def __init__(self, view: ClientDialect, grant: Grant) -> None:
        self._view = view
        self._grant = grant
        self._errors = 0

    @property
    def is_aware(self) -> bool:
        """Whether this client knows the relay's own events."""
        return self._grant.relay_events

    def encode(self, event: Event, frame: Frame | None = None) -> list[Effect]:
        """An event as the client sees it; `frame` is the event where it is still as it came."""
        shown = redact_for_client(event, self._grant)
        if frame is None or shown is not event:
            frame = events.encode(shown)
        seen = self._view.down(frame, shown["type"], shown)
        return [ToClient(seen)] if seen is not None else []

    def forward(self, frame: Frame, kind: str) -> list[Effect]:
        """An event that no rule reads."""
        try:
            seen = self._view.down(frame, kind, None)
        except BadEvent:
            seen = frame
        return [ToClient(seen)] if seen is not None else []

    def refuse(self, bad: BadEvent) -> Effect:
        """The `error` event for a frame that is not an event; the session goes on."""
        self._errors += 1
        told = events.error(
            bad.message,
            code=bad.code,
            param=bad.param,
            client_event_id=bad.event_id,
            event_id=f"event_relay_{self._errors}",
        )
        return ToClient(events.encode(self._view.error(told)))

    def notify(self, event: Event) -> list[Effect]:
        """An event of the relay's own, for who knows those."""
        return [ToClient(events.encode(event))] if self.is_aware else []

    def announce(self, conversation_id: str) -> list[Effect]:
        """A new conversation's id, where this dialect has an event for it."""
        told = self._view.announce(conversation_id)
        return [ToClient(events.encode(told))] if told is not None else []

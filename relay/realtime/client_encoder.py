"""Encodes events for one client: in its dialect, and without what its grant hides."""

from typing import Any, Final

from relay.realtime import events
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.effects import Effect, ToClient
from relay.realtime.events import BadEvent, Event, Frame
from relay.realtime.grant import Grant
from relay.realtime.transcription_view import TranscriptionView

REDACTED_EVENTS: Final = frozenset(
    {"session.created", "session.updated", "response.created", "response.done"}
)
"""Events that can hold something hidden, so that they must be decoded."""

HIDEABLE: Final = frozenset({"instructions", "server_tools", "tools", "voice"})
"""Names that an agent's `hidden` may list."""

Json = dict[str, Any]


class ClientEncoder:
    """The last step of every event on its way to the client. Each method returns effects."""

    def __init__(self, dialect: ClientDialect, grant: Grant, view: TranscriptionView) -> None:
        self._dialect = dialect
        self._grant = grant
        self._view = view
        self._errors = 0

    @property
    def is_aware(self) -> bool:
        """Whether this client knows `relay.*` events."""
        return self._grant.relay_events

    def encode(self, event: Event, frame: Frame | None = None) -> list[Effect]:
        """A decoded event; `frame` holds it as the engine sent it, None if it was changed since."""
        if self._view.hides(event["type"]):
            return []
        shown = redact_for_client(self._view.of_session(event), self._grant)
        if frame is None or shown is not event:
            frame = events.encode(shown)
        translated = self._dialect.down(frame, shown["type"], shown)
        return [ToClient(translated)] if translated is not None else []

    def forward(self, frame: Frame, kind: str) -> list[Effect]:
        """A frame of this type that was not decoded."""
        if self._view.hides(kind):
            return []
        try:
            translated = self._dialect.down(frame, kind, None)
        except BadEvent:
            translated = frame
        return [ToClient(translated)] if translated is not None else []

    def refuse(self, bad: BadEvent) -> Effect:
        """The `error` event for a client's frame that was refused; the session goes on."""
        self._errors += 1
        error = events.error(
            bad.message,
            code=bad.code,
            param=bad.param,
            client_event_id=bad.event_id,
            event_id=f"event_relay_{self._errors}",
        )
        return ToClient(events.encode(self._dialect.error(error)))

    def notify(self, event: Event) -> list[Effect]:
        """A `relay.*` event; nothing for a client that does not know them."""
        return [ToClient(events.encode(event))] if self.is_aware else []

    def field(self, name: str) -> str:
        """The name of a session's or a response's field, as the client knows it."""
        return self._dialect.field(name)

    def announce(self, conversation_id: str) -> list[Effect]:
        """The id of a new conversation; nothing in a dialect without an event for it."""
        event = self._dialect.announce(conversation_id)
        return [ToClient(events.encode(event))] if event is not None else []


def redact_for_client(event: Event, grant: Grant) -> Event:
    """The event without what the grant hides from the client; the same object if nothing is.

    Works on GA shapes, before a dialect translates them. Hidden instructions become an empty text,
    hidden tools and calls are left out of lists, any other hidden field is left out.
    """
    for name in ("session", "response"):
        body = event.get(name)
        if isinstance(body, dict):
            redacted = _redact_body(body, grant)
            if redacted is not body:
                event = {**event, name: redacted}
    return event


def _redact_body(body: Json, grant: Grant) -> Json:
    changes: Json = {}
    if "instructions" in grant.hidden and _are_the_servers(body.get("instructions"), grant):
        changes["instructions"] = ""
    for name, shown in (("tools", _tools(body, grant)), ("output", _output(body, grant))):
        if shown is not body.get(name):
            changes[name] = shown
    if _is_named(body.get("tool_choice"), _hidden_tool_names(grant)):
        changes["tool_choice"] = "auto"
    if "voice" in grant.hidden and (audio := _without_voice(body.get("audio"))) is not None:
        changes["audio"] = audio
    return {**body, **changes} if changes else body


def _are_the_servers(instructions: Any, grant: Grant) -> bool:
    """Whether these hold the server's instructions.

    Where the client cannot set any, all are the server's: an engine may have reworded them.
    """
    if grant.instructions is None or not instructions:
        return False
    if "instructions" in grant.locked_fields:
        return True
    return isinstance(instructions, str) and grant.instructions.strip() in instructions


def _tools(body: Json, grant: Grant) -> Any:
    tools = body.get("tools")
    if not isinstance(tools, list):
        return tools
    hidden = _hidden_tool_names(grant)
    return _same_if_whole(tools, [tool for tool in tools if not _is_named(tool, hidden)])


def _output(body: Json, grant: Grant) -> Any:
    output = body.get("output")
    if not isinstance(output, list):
        return output
    return _same_if_whole(output, [item for item in output if not _is_hidden_call(item, grant)])


def _is_hidden_call(item: Any, grant: Grant) -> bool:
    if "server_tools" not in grant.hidden or not isinstance(item, dict):
        return False
    return item.get("type") == "function_call" and _is_named(item, grant.server_tool_names)


def _same_if_whole(given: list[Any], shown: list[Any]) -> list[Any]:
    return given if len(shown) == len(given) else shown


def _hidden_tool_names(grant: Grant) -> frozenset[str]:
    names = grant.server_tool_names if "server_tools" in grant.hidden else frozenset()
    if "tools" in grant.hidden:
        names |= {tool["name"] for tool in grant.tools or () if "name" in tool}
    return names


def _is_named(value: Any, names: frozenset[str]) -> bool:
    name = value.get("name") if isinstance(value, dict) else None
    return isinstance(name, str) and name in names


def _without_voice(audio: Any) -> Json | None:
    """The audio settings without their voice, None where they have none."""
    output = audio.get("output") if isinstance(audio, dict) else None
    if not isinstance(output, dict) or "voice" not in output:
        return None
    return {**audio, "output": {name: output[name] for name in output if name != "voice"}}

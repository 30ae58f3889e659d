"""Retries the relay's own first settings without what the engine refuses, and tells the client."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.effects import ReportTrouble, RuleOutcome
from relay.realtime.events import Event
from relay.realtime.requests import RequestTracker
from relay.realtime.troubles import Trouble, fault_trouble

OPTIONAL_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "transcription": ("audio", "input", "transcription"),
    "voice": ("audio", "output", "voice"),
    "max_output_tokens": ("max_output_tokens",),
    "output_modalities": ("output_modalities",),
    "turn_detection": ("audio", "input", "turn_detection"),
    "input_format": ("audio", "input", "format"),
    "output_format": ("audio", "output", "format"),
}
"""The settings that a session can do without, by name, in the order in which they are left out.

Instructions and tools are not among them: without those it would be another agent."""

Json = dict[str, Any]


class FirstUpdate:
    """A rule of what comes from the engine; it follows one `session.update` until it is settled.

    A part that the refusal names is left out, else the first that is still there. `dropped` is
    called with the name of each.
    """

    def __init__(
        self,
        update: Event,
        requests: RequestTracker,
        client: ClientEncoder,
        dropped: Callable[[str], None],
    ) -> None:
        self._update = update
        self._requests = requests
        self._client = client
        self._dropped = dropped
        self._event_id: str | None = None  # of the update that is not answered yet
        self._shown = False

    def send(self, *, shown: bool) -> Event:
        """The update as it goes up; the client sees its answer if `shown`."""
        self._shown = shown
        tracked = self._requests.track(self._update, shown=shown)
        self._event_id = tracked["event_id"]
        return tracked

    def from_engine(self, event: Event, now: float) -> RuleOutcome | None:
        """Let everything pass; a refusal is answered by the update without a part of it."""
        if self._event_id is None:
            return None
        if event["type"] == "session.updated":
            self._event_id = None
            return None
        fault = event.get("error") if event["type"] == "error" else None
        if not isinstance(fault, dict) or not self._is_about_update(fault):
            return None
        trouble = fault_trouble("settings", fault)
        self._event_id = None
        name = part_to_drop(self._update["session"], trouble.param)
        if name is None:
            return RuleOutcome([event], after=[ReportTrouble(trouble)])
        self._update = {**self._update, "session": without_part(self._update["session"], name)}
        self._dropped(name)
        told = self._client.notify(refused_setting(name, trouble))
        report = ReportTrouble(replace(trouble, dropped=name))
        retry = self.send(shown=self._shown)
        return RuleOutcome([event], [retry], after=[report, *told])

    def _is_about_update(self, fault: Json) -> bool:
        """Whether an error answers the update; some servers do not say which event they refuse."""
        answered = fault.get("event_id")
        if isinstance(answered, str):
            return answered == self._event_id
        param = fault.get("param")
        return isinstance(param, str) and param.startswith("session")


def part_to_drop(session: Json, param: str) -> str | None:
    """The name of the part of a session to leave out: the one that `param` names, or the first."""
    there = [name for name, path in OPTIONAL_PARTS.items() if _find(session, path) is not None]
    named = param.removeprefix("session.")
    for name in there:
        path = ".".join(OPTIONAL_PARTS[name])
        if named == path or named.startswith(f"{path}."):
            return name
    return there[0] if there else None


def without_part(session: Json, name: str) -> Json:
    """The session without the optional part of this name."""
    return _without(session, OPTIONAL_PARTS[name])


def refused_setting(name: str, trouble: Trouble) -> Event:
    """`relay.warning`: the session goes on without this setting."""
    message = f"The voice refused a setting ({trouble.code}); the call goes on without: {name}."
    return {"type": "relay.warning", "code": "setting_refused", "message": message}


def _find(session: Json, path: tuple[str, ...]) -> Any:
    value: Any = session
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _without(part: Json, path: tuple[str, ...]) -> Json:
    name, *rest = path
    if not rest:
        return {key: value for key, value in part.items() if key != name}
    return {**part, name: _without(part[name], tuple(rest))}

"""A whole call with server-side tools: engine, client, tools, and the events on their way."""

import json
from collections import deque
from collections.abc import Sequence
from typing import Any

from relay.realtime.effects import CallTool, RuleOutcome, ToolCall
from relay.realtime.server_tools import ServerTools
from tests.realtime.tool_engine import Engine, Part

Event = dict[str, Any]
WEATHER = "get_weather"
# The tools' results, which only the model may see.
SECRET = "foggy and 12 degrees"


def server_call(city: str = "London") -> Part:
    return ("call", WEATHER, json.dumps({"city": city}))


def client_call() -> Part:
    return ("call", "show_map", "{}")


def called(outcome: RuleOutcome) -> list[ToolCall]:
    return [effect.call for effect in outcome.after if isinstance(effect, CallTool)]


class Call:
    """Holds every event until the test lets it arrive, or calls `settle`."""

    def __init__(self, *script: Sequence[Part]) -> None:
        self.engine = Engine(*script)
        self.tools = ServerTools(frozenset({WEATHER}))
        self.up: deque[Event] = deque()
        self.seen: list[Event] = []
        self.calls: list[ToolCall] = []
        self.running: list[ToolCall] = []
        self.sent: list[Event] = []  # what the relay itself sent up

    # Events and results arrive

    def take(self) -> None:
        """One engine event arrives at the relay."""
        if self.engine.out:
            self._handle(self.tools.from_engine(self.engine.out.popleft(), 1.0))

    def give(self) -> None:
        """One event arrives at the engine."""
        if self.up:
            self.engine.receive(self.up.popleft())

    def answer(self, index: int = 0, output: str | None = None) -> None:
        """One of the running tools returns its result."""
        if self.running:
            call = self.running.pop(index % len(self.running))
            told = output if output is not None else f"{SECRET} for {call.call_id}"
            self._handle(RuleOutcome(replies=self.tools.result(call.call_id, told)))

    def say(self, event: Event) -> None:
        """The client sends an event."""
        handled = self.tools.from_client(event, 1.0)
        self.seen += handled.replies
        self.up += handled.events

    def _handle(self, handled: RuleOutcome) -> None:
        calls = called(handled)
        self.seen += handled.events
        self.calls += calls
        self.running += calls
        self.sent += handled.replies
        self.up += handled.replies

    def flow(self) -> None:
        """Everything arrives and every response ends; running tools keep running."""
        while self.up or self.engine.out or self.engine.is_running:
            while self.up:
                self.give()
            self.engine.step()
            while self.engine.out:
                self.take()

    def settle(self) -> None:
        """Everything arrives and every tool returns its result."""
        self.flow()
        while self.running:
            self.answer()
            self.flow()

    # The client's view

    def shown(self, kind: str) -> list[Event]:
        return [event for event in self.seen if event["type"] == kind]

    def types(self) -> list[str]:
        return [event["type"] for event in self.seen]

    def asked(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def hidden_words(self) -> set[str]:
        """Ids, names and results of the server's own calls, which the client must not see."""
        calls = [item for item in self.engine.items if item.get("name") == WEATHER]
        ids = {item["call_id"] for item in calls}
        outputs = [item for item in self.engine.items if item.get("call_id") in ids]
        return {WEATHER, SECRET} | ids | {item["id"] for item in calls + outputs}

    def traces(self) -> set[str]:
        """The hidden words that the client was sent."""
        shown = json.dumps(self.seen)
        marks = {word: word if word == SECRET else f'"{word}"' for word in self.hidden_words()}
        return {word for word, mark in marks.items() if mark in shown}

"""A small engine that calls tools, one event at a time, for the tests of server-side tools."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from tests.realtime import wire_events as wire

Event = dict[str, Any]
Part = tuple[str, ...]
"""`("say", text)` or `("call", name, arguments)`."""


def named(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Event:
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "name": name,
        "call_id": call_id,
        "arguments": arguments if status == "completed" else "",
    }


class Engine:
    """Sends events in the order of PROTOCOL §4; `step` sends the next one of the response.

    Each response outputs the next entry of `script`, and "ok" after the last.
    """

    def __init__(self, *script: Sequence[Part]) -> None:
        self.script = deque(script)
        self.out: deque[Event] = deque()
        self.items: list[Event] = []
        self.responses: list[Event] = []
        self.refused: list[Event] = []
        self.wishes: list[Event] = []
        self.heeds_tool_choice = True
        self._running: Iterator[Event] | None = None
        self._late: list[Event] = []
        self._ids = 0

    # Events from the client

    def receive(self, event: Event) -> None:
        kind = event["type"]
        if kind == "conversation.item.create":
            if self._running is not None and event["item"]["type"] == "function_call_output":
                self._late.append(event["item"])
            else:
                self._add(event["item"])
        elif kind == "response.create":
            self._create(event)
        elif kind == "response.cancel":
            if self._running is None:
                self._refuse(event, "response_cancel_not_active")
            else:
                self._end("cancelled", {"type": "cancelled", "reason": "client_cancelled"})

    def _create(self, event: Event) -> None:
        if self._running is not None:
            self._refuse(event, "conversation_already_has_active_response")
        else:
            self.wishes.append(event.get("response", {}))
            self._begin(event.get("response", {}))

    def _refuse(self, event: Event, code: str) -> None:
        self.refused.append(event)
        error = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None}
        self.out.append({"type": "error", "error": {**error, "event_id": event.get("event_id")}})

    # What happens by itself

    @property
    def is_running(self) -> bool:
        return self._running is not None

    def speech(self) -> None:
        """The learner begins to speak, which ends the response in progress."""
        self.out.append(wire.speech_started(f"item_u{self._ids}"))
        if self._running is not None:
            self._end("cancelled", {"type": "cancelled", "reason": "turn_detected"})

    def silence(self) -> None:
        """The learner stops, and a response begins by itself."""
        item_id = self._id("item_u")
        self.out.append({"type": "input_audio_buffer.speech_stopped", "item_id": item_id})
        self.out.append(wire.committed(item_id, self._last))
        self._add(wire.message(item_id, "user", {"type": "input_audio", "transcript": None}))
        if self._running is None:
            self._begin({})

    def step(self) -> None:
        """Send the next event of the response in progress."""
        if self._running is not None:
            event = next(self._running, None)
            if event is None:
                self._end("completed", None)
            else:
                self.out.append(event)

    # Responses

    def _begin(self, wished: Event) -> None:
        response = {
            "id": self._id("resp_"),
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": "conv_1",
            "output_modalities": wished.get("output_modalities", ["audio"]),
            "max_output_tokens": "inf",
            "metadata": wished.get("metadata"),
        }
        self.responses.append(response)
        parts = self.script.popleft() if self.script else [("say", "ok")]
        if wished.get("tool_choice") == "none" and self.heeds_tool_choice:
            parts = [("say", "no more tools")]
        self.out.append({"type": "response.created", "response": {**response, "output": []}})
        self._running = self._events(response, parts)

    def _end(self, status: str, details: Event | None) -> None:
        response = self.responses[-1]
        for item in response["output"]:
            if item["status"] == "in_progress":
                item["status"] = "incomplete"
                self._tell_done(item, len(response["output"]) - 1)
        response.update(status=status, status_details=details)
        self._running = None
        done = {**response, "output": [dict(item) for item in response["output"]]}
        self.out.append({"type": "response.done", "response": done})
        late, self._late = self._late, []
        for item in late:
            self._add(item)

    def _events(self, response: Event, parts: Sequence[Part]) -> Iterator[Event]:
        for index, part in enumerate(parts):
            item_id = self._id("item_a")
            ids = {"response_id": response["id"], "item_id": item_id, "output_index": index}
            if part[0] == "say":
                item = wire.message(item_id, "assistant", status="in_progress")
            else:
                item = named(item_id, self._id("call_"), part[1], part[2], "in_progress")
            previous = self._last
            self.items.append(item)
            response["output"].append(item)
            announced = {"response_id": response["id"], "output_index": index, "item": dict(item)}
            self.out.append({"type": "response.output_item.added", **announced})
            yield wire.item("added", dict(item), previous)
            if part[0] == "say":
                item.update(content=[{"type": "output_text", "text": part[1]}])
                yield {"type": "response.output_text.done", **ids, "text": part[1]}
            else:
                call = {**ids, "call_id": item["call_id"]}
                yield {"type": "response.function_call_arguments.delta", **call, "delta": part[2]}
                item.update(arguments=part[2])
                more = {"name": part[1], "arguments": part[2]}
                yield {"type": "response.function_call_arguments.done", **call, **more}
            item.update(status="completed")
            quirk = None if previous == self.items[0]["id"] else previous  # PROTOCOL §5.3
            yield wire.item("done", dict(item), quirk)
            yield self._output_item_done(item, index)

    def _output_item_done(self, item: Event, index: int) -> Event:
        kind, response_id = "response.output_item.done", self.responses[-1]["id"]
        given = {"response_id": response_id, "output_index": index, "item": dict(item)}
        return {"type": kind, **given}

    def _tell_done(self, item: Event, index: int) -> None:
        self.out.append(wire.item("done", dict(item), None))
        self.out.append(self._output_item_done(item, index))

    # Items

    @property
    def _last(self) -> str | None:
        return self.items[-1]["id"] if self.items else None

    def _add(self, given: Event) -> None:
        item = {**given, "id": given.get("id") or self._id("item_o")}
        previous = self._last
        self.items.append(item)
        self.out.append(wire.item("added", item, previous))
        self.out.append(wire.item("done", item, previous))

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}{self._ids}"

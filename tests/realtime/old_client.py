"""What the old beta RealtimeClient keeps of a conversation, and where it throws (PROTOCOL §6)."""

from typing import Any


class OldClient:
    """Follows a beta event stream by item id; raises where that client's handlers would."""

    def __init__(self) -> None:
        self.outputs: dict[str, list[str]] = {}
        self.items: dict[str, dict[str, Any]] = {}

    def hear(self, event: dict[str, Any]) -> None:
        """Take one server event; events that the client has no handler for are ignored."""
        handler = {
            "response.created": self._response,
            "response.output_item.added": self._output,
            "conversation.item.created": self._item,
            "response.content_part.added": self._part,
            "response.audio.delta": self._announced,
            "response.audio_transcript.delta": self._transcript,
            "response.text.delta": self._text,
            "response.function_call_arguments.delta": self._arguments,
            "response.output_item.done": self._done,
            "conversation.item.input_audio_transcription.completed": self._heard,
            "conversation.item.truncated": self._announced,
        }.get(event["type"])
        if handler:
            if not event.get("event_id"):
                raise LookupError(f"no event_id on {event['type']}")
            handler(event)

    def said(self) -> list[str]:
        """The text of every message so far, in the order in which the items were announced."""
        return [
            "".join(part.get("transcript") or part.get("text") or "" for part in item["content"])
            for item in self.items.values()
            if item["type"] == "message"
        ]

    def _response(self, event: dict[str, Any]) -> None:
        self.outputs[event["response"]["id"]] = list(event["response"]["output"])

    def _output(self, event: dict[str, Any]) -> None:
        self.outputs[event["response_id"]].append(event["item"]["id"])

    def _item(self, event: dict[str, Any]) -> None:
        item = event["item"]
        content = [dict(part) for part in item["content"]] if "content" in item else None
        self.items[item["id"]] = {**item, "content": content}

    def _announced(self, event: dict[str, Any]) -> dict[str, Any]:
        return self.items[event["item_id"]]

    def _part(self, event: dict[str, Any]) -> None:
        self._announced(event)["content"].append(dict(event["part"]))

    def _transcript(self, event: dict[str, Any]) -> None:
        self._announced(event)["content"][event["content_index"]]["transcript"] += event["delta"]

    def _text(self, event: dict[str, Any]) -> None:
        self._announced(event)["content"][event["content_index"]]["text"] += event["delta"]

    def _arguments(self, event: dict[str, Any]) -> None:
        self._announced(event)["arguments"] += event["delta"]

    def _done(self, event: dict[str, Any]) -> None:
        self.items[event["item"]["id"]]["status"] = event["item"]["status"]

    def _heard(self, event: dict[str, Any]) -> None:
        if event["item_id"] in self.items:  # it may come before its item: that much it knows
            part = self._announced(event)["content"][event["content_index"]]
            part["transcript"] = event["transcript"]

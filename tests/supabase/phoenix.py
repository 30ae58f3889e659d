"""Realtime's messages on the wire: an object for older clients, an array for newer ones."""

import json
from dataclasses import dataclass
from typing import Any

TOPIC = "realtime:"
"""Stands before a topic's name on the wire."""


@dataclass(frozen=True)
class Message:
    """One message; `ref` names a request that is answered, `join_ref` the join it belongs to."""

    topic: str
    event: str
    payload: dict[str, Any]
    ref: str | None = None
    join_ref: str | None = None

    def reply(self, status: str, response: dict[str, Any]) -> "Message":
        """The answer to this one."""
        payload = {"status": status, "response": response}
        return Message(self.topic, "phx_reply", payload, self.ref, self.join_ref)

    def follow_up(self, event: str, payload: dict[str, Any]) -> "Message":
        """What the service says by itself in the channel that this message joined."""
        return Message(self.topic, event, payload, join_ref=self.join_ref)


def decoded(text: str, version: str) -> Message:
    """What a client of that protocol version (`vsn` of its address) said."""
    if version == "2.0.0":
        join_ref, ref, topic, event, payload = json.loads(text)
        return Message(topic, event, payload, ref, join_ref)
    said = json.loads(text)
    return Message(
        said["topic"], said["event"], said["payload"], said.get("ref"), said.get("join_ref")
    )


def encoded(said: Message, version: str) -> str:
    """The message as a client of that version reads it."""
    if version == "2.0.0":
        return json.dumps([said.join_ref, said.ref, said.topic, said.event, said.payload])
    return json.dumps(
        {"topic": said.topic, "event": said.event, "payload": said.payload, "ref": said.ref}
    )

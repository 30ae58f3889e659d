"""The API's OpenAPI document, made of the very types that it answers with."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from relay.feed import messages as shapes
from relay.http.api import sessions as archive
from relay.http.api.errors import ALL
from relay.http.api.sessions import ACTIONS, NEEDS_TEXT
from relay.realtime.coaching.control import MAX_WHISPER
from relay.realtime.records import CoachAction
from relay.summary.extract import Summary

_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_SINCE: Final = {
    "name": "since",
    "in": "query",
    "description": "The `seq` you have seen last; what settled after it is shown.",
    "schema": {"type": "integer", "minimum": 0, "default": 0},
}
_LIMIT: Final = {
    "name": "limit",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 200},
}
_FEWER: Final = {
    **_LIMIT,
    "schema": {
        "type": "integer",
        "minimum": 1,
        "maximum": archive.MOST_CONVERSATIONS,
        "default": archive.CONVERSATIONS_LIMIT,
    },
}
_USER: Final = {
    "name": "user_id",
    "in": "query",
    "description": "Those of this learner alone; else of all that the caller may follow.",
    "schema": {"type": "string"},
}
_SUMMARISED: Final = ("sessions", "conversations")
_LAST_EVENT: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Event streams alone: the last event's id, in place of `since`.",
    "schema": {"type": "string"},
}
_FEED: Final = (
    "With `Upgrade: websocket` each text frame is one message; with `Accept: text/event-stream` "
    "each event's data is. A WebSocket is refused after its handshake: a message of type `error`, "
    "then a close code (4000, 4001, 4003, 4029, 1011, 1012, 1013)."
)
_VOICE: Final = (
    "Binary frames of PCM16, 24 kHz, mono. Down, the first byte says who speaks: 0 the learner, 1 "
    "the model. Up, there is sound alone, at most 96,000 bytes a frame; it is heard while this "
    "coach has taken over. Refused after the handshake, as the feed is."
)
_SHOWN: Final = (
    shapes.SessionList,
    shapes.SessionInfo,
    shapes.SessionTranscript,
    shapes.ConversationTranscript,
    shapes.CommandAnswer,
    shapes.ErrorAnswer,
    shapes.Message,
    shapes.ConversationList,
    Summary,
)
_COMMANDS: Final[Mapping[CoachAction, str]] = {
    "pause": "The model falls silent at once and stays so; the learner is still written down",
    "resume": "The model may answer again",
    "whisper": "Tell the model something the learner never sees, or have it say so next",
    "takeover": "Speak in the model's place; one coach at a time",
    "release": "Give the word back to the model; an admin does so for any coach",
    "note": "Write something down beside the session, for coaches",
    "end": "End the session",
}


@cache
def document() -> Mapping[str, Any]:
    """The document, as JSON would hold it."""
    schemas, components = msgspec.json.schema_components(
        _SHOWN, ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "relay: the coach's API",
            "version": "1",
            "description": "Live voice sessions, what was said in them, and feeds of what is said.",
        },
        "security": [{"bearer": []}],
        "paths": _paths(schemas),
        "components": {
            "schemas": components,
            "responses": {"Refused": _answer(_refusals(), _ref("ErrorAnswer"))},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _paths(schemas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every address, with the schemas of `_SHOWN`."""
    sessions, session, transcript, conversation, obeyed, _, message, talks, summary = schemas
    return {
        "/api/sessions": _get("Live sessions", sessions, _LIMIT),
        "/api/sessions/{id}": _get("One session", session, _ID),
        "/api/sessions/{id}/transcript": _get(
            "What was said in a session", transcript, _ID, _SINCE
        ),
        "/api/sessions/{id}/feed": _feed(message),
        "/api/sessions/{id}/voice": _voice(),
        **{f"/api/sessions/{{id}}/{a}": _post(a, obeyed) for a in ACTIONS},
        "/api/conversations/{id}/transcript": _get(
            "What was said in a conversation", conversation, _ID
        ),
        "/api/conversations": _get("Past conversations", talks, _USER, _FEWER),
        **{f"/api/{kind}/{{id}}/summary": _summary(summary) for kind in _SUMMARISED},
        "/api/openapi.json": {
            "get": {
                "summary": "This document",
                "security": [],
                "responses": {"200": _answer("The document", {"type": "object"})},
            }
        },
    }


def _get(summary: str, schema: Mapping[str, Any], *parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"get": _operation(summary, _answer(summary, schema), parameters)}


def _post(action: CoachAction, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A command: what it was given is JSON, or nothing where it needs nothing."""
    text: dict[str, Any] = {"type": "string", "maxLength": MAX_WHISPER}
    fields: dict[str, Any] = {"reason" if action == "end" else "text": text}
    if action == "whisper":
        fields["mode"] = {"type": "string", "enum": ["context", "say"], "default": "context"}
    required = ["text"] if action in NEEDS_TEXT else []
    body = {"type": "object", "properties": fields, "required": required}
    operation = _operation(_COMMANDS[action], _answer("How it stands now", schema), (_ID,))
    if action in NEEDS_TEXT or action == "end":
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": bool(required), "content": content}
    return {"post": operation}


def _summary(schema: Mapping[str, Any]) -> dict[str, Any]:
    told = "Write a summary of what was said, and store it"
    return {"post": _operation(told, _answer("The summary", schema), (_ID,))}


def _feed(message: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"description": "The feed", "content": {"text/event-stream": {"schema": message}}}
    operation = _operation("The live feed of a session", shown, (_ID, _SINCE, _LAST_EVENT))
    operation["description"] = _FEED
    operation["responses"] |= {
        "101": {"description": "The feed as a WebSocket, the same messages as text frames"},
        "204": {"description": "The event stream's end was seen before: do not come back"},
    }
    return {"get": operation}


def _voice() -> dict[str, Any]:
    """A WebSocket alone: there is no other answer that is no refusal."""
    operation = _operation("Listen to a session, and speak in it after a takeover", {}, (_ID,))
    operation["description"] = _VOICE
    operation["responses"]["101"] = {"description": "The line as a WebSocket"}
    del operation["responses"]["200"]
    return {"get": operation}


def _operation(
    summary: str, answer: Mapping[str, Any], parameters: tuple[Mapping[str, Any], ...]
) -> dict[str, Any]:
    refused = {"$ref": "#/components/responses/Refused"}
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": answer, "4XX": refused, "5XX": refused},
    }


def _answer(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _refusals() -> str:
    told = (f"{refusal.status} `{refusal.code}`" for refusal in ALL)
    return f"One of: {', '.join(sorted(told))}"

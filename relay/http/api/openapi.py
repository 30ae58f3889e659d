"""The API's OpenAPI document, generated from the types of its responses."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from relay.feed import messages
from relay.http.api.errors import ALL
from relay.http.api.sessions import (
    ACTIONS,
    CONVERSATIONS_LIMIT,
    MAX_CONVERSATIONS,
    MAX_SESSIONS,
    NEEDS_TEXT,
    SESSIONS_LIMIT,
)
from relay.realtime.coaching.control import MAX_WHISPER
from relay.realtime.records import CoachAction
from relay.summary.summarizer import Summary

_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_SINCE: Final = {
    "name": "since",
    "in": "query",
    "description": "The last `seq` you have seen; later utterances and corrections are returned.",
    "schema": {"type": "integer", "minimum": 0, "default": 0},
}
_USER: Final = {
    "name": "user_id",
    "in": "query",
    "description": "Only this learner's; without it, those of everyone the caller may follow.",
    "schema": {"type": "string"},
}
_LAST_EVENT: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Event streams only: the last event's id, instead of `since`.",
    "schema": {"type": "string"},
}
_FEED: Final = (
    "With `Upgrade: websocket` each text frame is one message; with `Accept: text/event-stream` "
    "the data of each event is. A WebSocket is refused after its handshake: with a message of type "
    "`error`, then a close code (4000, 4001, 4003, 4029, 1011, 1012, 1013)."
)
_VOICE: Final = (
    "Binary frames of PCM16, 24 kHz, mono. From the server, the first byte says who speaks: 0 the "
    "learner, 1 the model. A coach's frame is audio only, at most 96,000 bytes; it is heard while "
    "this coach has taken over. Refused after the handshake, as the feed is."
)
_MINUTE: Final = (
    "A token that begins with `ek_`, for a browser. It is valid for a minute at most and opens "
    "sessions of the caller at `/v1/realtime`, with the settings in `session`. A session lasts as "
    "long as the caller's own token."
)
SECRETS_PATH: Final = "/v1/realtime/client_secrets"
_TYPES: Final = (
    messages.SessionList,
    messages.SessionInfo,
    messages.SessionTranscript,
    messages.ConversationTranscript,
    messages.CommandAnswer,
    messages.ErrorAnswer,
    messages.Message,
    messages.ConversationList,
    Summary,
)
_COMMANDS: Final[Mapping[CoachAction, str]] = {
    "pause": "The model falls silent at once and stays silent; the learner is still transcribed",
    "resume": "The model may answer again",
    "whisper": "Tell the model something that the learner never sees, or have it say it next",
    "takeover": "Speak in the model's place; one coach at a time",
    "release": "Give the floor back to the model; an admin may do so for any coach",
    "note": "Attach a note for coaches to the session",
    "end": "End the session",
}


@cache
def document() -> Mapping[str, Any]:
    """The document, as an object for JSON."""
    schemas, components = msgspec.json.schema_components(
        _TYPES, ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "relay: the coach's API",
            "version": "1",
            "description": "Live voice sessions: their transcripts and feeds, and commands.",
        },
        "security": [{"bearer": []}],
        "paths": _paths(schemas),
        "components": {
            "schemas": components,
            "responses": {"Refused": _response(_error_codes(), _ref("ErrorAnswer"))},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _paths(schemas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every path, with the schemas of `_TYPES`."""
    sessions, session, transcript, conversation, command, _, message, found, summary = schemas
    return {
        "/api/sessions": _get("Live sessions", sessions, _limit(MAX_SESSIONS, SESSIONS_LIMIT)),
        "/api/sessions/{id}": _get("One session", session, _ID),
        "/api/sessions/{id}/transcript": _get("Transcript of a session", transcript, _ID, _SINCE),
        "/api/sessions/{id}/feed": _feed(message),
        "/api/sessions/{id}/voice": _audio(),
        **{f"/api/sessions/{{id}}/{action}": _command(action, command) for action in ACTIONS},
        "/api/conversations/{id}/transcript": _get(
            "Transcript of a conversation", conversation, _ID
        ),
        "/api/conversations": _get(
            "Past conversations", found, _USER, _limit(MAX_CONVERSATIONS, CONVERSATIONS_LIMIT)
        ),
        **{
            f"/api/{kind}/{{id}}/summary": _summary(summary)
            for kind in ("sessions", "conversations")
        },
        SECRETS_PATH: _client_secret(),
        "/api/openapi.json": {
            "get": {
                "summary": "This document",
                "security": [],
                "responses": {"200": _response("The document", {"type": "object"})},
            }
        },
    }


def _get(summary: str, schema: Mapping[str, Any], *parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"get": _operation(summary, _response(summary, schema), parameters)}


def _limit(maximum: int, default: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return {"name": "limit", "in": "query", "schema": schema}


def _command(action: CoachAction, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A command; only those that take a text have a body."""
    text: dict[str, Any] = {"type": "string", "maxLength": MAX_WHISPER}
    fields: dict[str, Any] = {"reason" if action == "end" else "text": text}
    if action == "whisper":
        fields["mode"] = {"type": "string", "enum": ["context", "say"], "default": "context"}
    required = ["text"] if action in NEEDS_TEXT else []
    body = {"type": "object", "properties": fields, "required": required}
    operation = _operation(
        _COMMANDS[action], _response("The session after the command", schema), (_ID,)
    )
    if action in NEEDS_TEXT or action == "end":
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": bool(required), "content": content}
    return {"post": operation}


def _summary(schema: Mapping[str, Any]) -> dict[str, Any]:
    title = "Write a summary of what was said, and store it"
    return {"post": _operation(title, _response("The summary", schema), (_ID,))}


def _client_secret() -> dict[str, Any]:
    """OpenAI's own address and shapes, for a user's token."""
    seconds = {"type": "integer", "minimum": 10, "maximum": 7200}
    after = {"type": "object", "properties": {"seconds": seconds}}
    asked = {"session": {"type": "object"}, "expires_after": after}
    given = {
        "value": {"type": "string"},
        "expires_at": {"type": "integer"},
        "session": {"type": "object"},
    }
    answer = {"type": "object", "properties": given, "required": list(given)}
    operation = _operation("Make a client secret", _response("The secret", answer), ())
    operation["description"] = _MINUTE
    body = {"application/json": {"schema": {"type": "object", "properties": asked}}}
    operation["requestBody"] = {"required": False, "content": body}
    error = {"type": "object", "properties": {"error": {"type": "object"}}}
    refused = _response("An error with a message, a type, a code and a param", error)
    operation["responses"] |= {"4XX": refused, "5XX": refused}
    return {"post": operation}


def _feed(message: Mapping[str, Any]) -> dict[str, Any]:
    events = {"description": "The feed", "content": {"text/event-stream": {"schema": message}}}
    operation = _operation("The live feed of a session", events, (_ID, _SINCE, _LAST_EVENT))
    operation["description"] = _FEED
    operation["responses"] |= {
        "101": {"description": "The feed as a WebSocket, with the same messages as text frames"},
        "204": {"description": "The end of the event stream was seen before: do not reconnect"},
    }
    return {"get": operation}


def _audio() -> dict[str, Any]:
    """A WebSocket: 101 is the only successful status."""
    operation = _operation("Listen to a session, and speak in it after a takeover", {}, (_ID,))
    operation["description"] = _VOICE
    operation["responses"]["101"] = {"description": "The audio as a WebSocket"}
    del operation["responses"]["200"]
    return {"get": operation}


def _operation(
    summary: str, response: Mapping[str, Any], parameters: tuple[Mapping[str, Any], ...]
) -> dict[str, Any]:
    refused = {"$ref": "#/components/responses/Refused"}
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": response, "4XX": refused, "5XX": refused},
    }


def _response(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _error_codes() -> str:
    codes = (f"{error.status} `{error.code}`" for error in ALL)
    return f"One of: {', '.join(sorted(codes))}"

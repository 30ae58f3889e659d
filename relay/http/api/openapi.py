"""The API's OpenAPI document, made of the very types that it answers with."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from relay.feed import shapes
from relay.http.api.faults import ALL

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
_SHOWN: Final = (
    shapes.Sessions,
    shapes.Session,
    shapes.SessionTranscript,
    shapes.ConversationTranscript,
    shapes.ErrorAnswer,
    shapes.Message,
)


@cache
def document() -> Mapping[str, Any]:
    """The document, as JSON would hold it."""
    schemas, components = msgspec.json.schema_components(
        _SHOWN, ref_template="#/components/schemas/{name}"
    )
    sessions, session, transcript, conversation, _, message = schemas
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "relay: the coach's API",
            "version": "1",
            "description": "Live voice sessions, what was said in them, and feeds of what is said.",
        },
        "security": [{"bearer": []}],
        "paths": {
            "/api/sessions": _get("Live sessions", sessions, _LIMIT),
            "/api/sessions/{id}": _get("One session", session, _ID),
            "/api/sessions/{id}/transcript": _get(
                "What was said in a session", transcript, _ID, _SINCE
            ),
            "/api/sessions/{id}/feed": _feed(message),
            "/api/conversations/{id}/transcript": _get(
                "What was said in a conversation", conversation, _ID
            ),
            "/api/openapi.json": {
                "get": {
                    "summary": "This document",
                    "security": [],
                    "responses": {"200": _answer("The document", {"type": "object"})},
                }
            },
        },
        "components": {
            "schemas": components,
            "responses": {"Refused": _answer(_refusals(), _ref("ErrorAnswer"))},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _get(summary: str, schema: Mapping[str, Any], *parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"get": _operation(summary, _answer(summary, schema), parameters)}


def _feed(message: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"description": "The feed", "content": {"text/event-stream": {"schema": message}}}
    operation = _operation("The live feed of a session", shown, (_ID, _SINCE, _LAST_EVENT))
    operation["description"] = _FEED
    operation["responses"] |= {
        "101": {"description": "The feed as a WebSocket, the same messages as text frames"},
        "204": {"description": "The event stream's end was seen before: do not come back"},
    }
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

"""The OpenAPI document says what is there: its addresses are the routes, its types the answers."""

import json
from typing import Any

import pytest
from aiohttp import web

from relay.clock import MachineClock
from relay.http.api.app import PREFIX, ApiServices, create_api
from relay.http.api.errors import ALL
from relay.http.api.openapi import SECRETS_PATH, document
from relay.realtime.transcript import InterimTranscript
from tests.feed.calls import FakeCall, HubWithDisk, said
from tests.http.api.running_api import (
    FEED,
    SESSION,
    FakeArchive,
    FakeAssignments,
    running_api,
    verify,
)
from tests.http.api.write_openapi import PATH, text
from tests.stores.words import CONVERSATION


def test_docs_openapi_json_is_up_to_date() -> None:
    """Regenerate it with `python -m tests.http.api.write_openapi`."""
    assert PATH.read_text() == text()


def test_the_document_has_exactly_the_routes() -> None:
    feeds = HubWithDisk()
    services = ApiServices(
        feeds.directory,
        feeds.hub,
        verify,
        FakeAssignments(),
        MachineClock(),
        FakeArchive().services(),
    )
    routes = {
        (PREFIX + route.resource.canonical, route.method.lower())
        for route in create_api(services).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    documented = {
        (path, method) for path, methods in document()["paths"].items() for method in methods
    }
    assert documented - routes == {(SECRETS_PATH, "post")}, "it stands beside the coach's API"
    assert routes < documented
    assert isinstance(create_api(services), web.Application)


def test_every_error_code_is_listed() -> None:
    listed = document()["components"]["responses"]["Refused"]["description"]
    assert all(f"{error.status} `{error.code}`" in listed for error in ALL)


KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def matches(value: Any, schema: dict[str, Any]) -> bool:
    """Validate the part of JSON Schema that the document uses; another keyword is a failure."""
    known = {"$ref", "anyOf", "type", "properties", "required", "items", "enum", "title"}
    known |= {"description", "additionalProperties", "discriminator"}
    assert schema.keys() <= known, schema.keys() - known
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return any(matches(value, one) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    return is_of(value, schema["type"]) and parts_match(value, schema)


def is_of(value: Any, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "boolean") == isinstance(value, bool)


def parts_match(value: Any, schema: dict[str, Any]) -> bool:
    if isinstance(value, list):
        return all(matches(one, schema["items"]) for one in value)
    return object_matches(value, schema) if isinstance(value, dict) else True


def object_matches(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return all(matches(one, more) for one in value.values())
    given = schema["properties"]
    return value.keys() == set(schema["required"]) == given.keys() and all(
        matches(one, given[name]) for name, one in value.items()
    )


def answer_schema(path: str, status: str = "200") -> dict[str, Any]:
    operation = document()["paths"][path]["get"]["responses"][status]
    content: dict[str, Any] = operation["content"]
    schema: dict[str, Any] = next(iter(content.values()))["schema"]
    return schema


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/sessions", "/api/sessions"),
        ("/api/sessions/{id}", f"/api/sessions/{SESSION}"),
        ("/api/sessions/{id}/transcript", f"/api/sessions/{SESSION}/transcript"),
        ("/api/conversations/{id}/transcript", f"/api/conversations/{CONVERSATION}/transcript"),
    ],
)
async def test_answers_match_the_document(path: str, asked: str) -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall(cost=None)):
            api.feeds.commit(said(1))
            assert matches((await api.ask(asked)).json, answer_schema(path))
        refused = await api.ask(asked, headers={})
        schema = document()["components"]["responses"]["Refused"]["content"]["application/json"]
        assert matches(refused.json, schema["schema"])
        assert not matches(refused.json, answer_schema(path)), "and the check can fail"


async def test_a_feeds_messages_match_the_document() -> None:
    schema = answer_schema("/api/sessions/{id}/feed")
    async with running_api() as api:
        call = FakeCall(open=[InterimTranscript("item_9", 0, "assistant", "Well")], seq=1)
        with api.feeds.directory.track(call):
            api.feeds.commit(said(1))
            async with api.subscribe() as socket:
                await socket.until("partial")
        async with api.subscribe() as late, api.subscribe("?since=x") as wrong:
            await late.closed()
            await wrong.closed()
        messages = [*socket.messages, *late.messages, *wrong.messages]
        kinds = {message["type"] for message in messages}
        assert kinds == {"session", "final", "caught_up", "partial", "ended", "error"}
        assert kinds == set(schema["discriminator"]["mapping"])
        assert [message for message in messages if not matches(message, schema)] == []


async def test_the_document_needs_no_token() -> None:
    async with running_api() as api:
        answer = await api.ask("/api/openapi.json", headers={})
        assert answer.json == json.loads(PATH.read_text())
        assert FEED.startswith(PREFIX)

"""Describes routes as an OpenAPI document: their bodies and answers by pydantic's own schemas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from relay.doors.services.failures import NAMES
from relay.doors.services.models import FailureEnvelope

_TEMPLATE: Final = "#/components/schemas/{model}"
_REFUSED: Final = {"$ref": "#/components/responses/Refused"}


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """A route: `body` is read from JSON, or from the query where there `is_query`."""

    method: str
    path: str
    summary: str
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    is_query: bool = False
    status: int = 200
    is_open: bool = False


def document(routes: Sequence[RouteDescription], title: str, version: str) -> dict[str, Any]:
    """Return the document, as an object for JSON."""
    shown = [(route.body, "validation") for route in routes if route.body]
    shown += [(route.answer, "serialization") for route in routes if route.answer]
    refs, schemas = models_json_schema(
        [*dict.fromkeys([*shown, (FailureEnvelope, "serialization")])],  # type: ignore[list-item]
        ref_template=_TEMPLATE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    failure = refs[FailureEnvelope, "serialization"]
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "responses": {"Refused": _content("Refused or failed", failure)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _operation(route: RouteDescription, refs: Any) -> dict[str, Any]:
    answer = refs[route.answer, "serialization"] if route.answer else {"type": "object"}
    told: dict[str, Any] = {
        "summary": route.summary,
        "responses": {str(route.status): _content(route.summary, answer)},
    }
    if route.is_open:
        return {**told, "security": []}
    told["responses"] |= {str(status): _REFUSED for status in NAMES}
    if route.body and route.is_query:
        told["parameters"] = [
            {"name": name, "in": "query", "required": each.is_required(), "schema": _TEXT}
            for name, each in route.body.model_fields.items()
        ]
    elif route.body:
        body = _content("", refs[route.body, "validation"])["content"]
        told["requestBody"] = {"required": True, "content": body}
    return told


_TEXT: Final = {"type": "string"}


def _content(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}

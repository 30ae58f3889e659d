"""Ollama's addresses: its own list of models, and its form of the chat that OpenAI has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.parts.doubles.double import demand, serving
from tests.parts.doubles.openai_api import OpenAIDouble

MODEL = "llama3.2:1b"


def error_body(status: int, code: str) -> object:
    kinds = {404: "not_found_error", 400: "invalid_request_error"}
    kind = kinds.get(status, "api_error")
    return {"error": {"message": f'model "x" {code}', "type": kind, "param": None, "code": None}}


@dataclass
class OllamaDouble(OpenAIDouble):
    """Takes any key, and the older name of the bound of tokens."""

    limit: str = "max_tokens"

    def authorize(self, request: web.Request) -> None:
        """Ask for no key."""

    def check_chat(self, body: dict[str, Any]) -> None:
        demand(body["model"] == MODEL, 404, "not found")
        demand("max_completion_tokens" not in body, 400, "a bound that does nothing here")

    async def running(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="Ollama is running")

    async def tags(self, request: web.Request) -> web.StreamResponse:
        details = {"family": "llama", "parameter_size": "1.2B", "quantization_level": "Q8_0"}
        entry = {"name": MODEL, "model": MODEL, "size": 1321098329, "details": details}
        return web.json_response({"models": [entry]})

    async def models(self, request: web.Request) -> web.StreamResponse:
        entry = {"id": MODEL, "object": "model", "created": 0, "owned_by": "library"}
        return web.json_response({"object": "list", "data": [entry]})


@asynccontextmanager
async def ollama(port: int = 0) -> AsyncIterator[tuple[OllamaDouble, str]]:
    """Serve Ollama; yields the double and its address, as in OLLAMA_HOST."""
    double = OllamaDouble(error_body)
    routes = [
        web.get("/", double.running),
        web.get("/api/tags", double.tags),
        web.get("/v1/models", double.models),
        web.post("/v1/chat/completions", double.completions),
    ]
    async with serving(double, *routes, port=port) as address:
        yield double, address

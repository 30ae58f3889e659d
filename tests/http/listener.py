"""A running HTTP listener with fixed numbers behind it, and one request to it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import ClientSession

from relay.admission.descriptors import MAX_HTTP
from relay.http.server import Health, HttpServer, HttpServices, serve

SERVICES = HttpServices(health=lambda: Health(2, 1000, 12.5), metrics=lambda: b"relay_test 1\n")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


@asynccontextmanager
async def listening(
    services: HttpServices = SERVICES, limit: int = MAX_HTTP, **changes
) -> AsyncIterator[HttpServer]:
    server = await serve(replace(services, **changes), "127.0.0.1", 0, limit)
    try:
        yield server
    finally:
        await server.aclose()


async def ask(
    server: HttpServer,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    async with (
        ClientSession(f"http://127.0.0.1:{server.port}") as http,
        http.request(method, path, headers=headers) as answer,
    ):
        return Answer(answer.status, answer.headers.copy(), await answer.text())

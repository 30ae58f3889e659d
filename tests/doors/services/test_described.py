"""What the door tells of itself: its info documents, OpenAPI, and pages that show it."""

from pathlib import Path

import pytest
from aiohttp import web
from pydantic import BaseModel

from relay.doors.services.calls import OneCall
from relay.doors.services.door import SERVICES, ServicesDoor, ServicesOptions, service_of
from relay.doors.services.models import TranscribeBody
from relay.doors.services.pages import FILES
from tests.doors.services.stage import services
from tests.golden.shapes import golden


async def test_S4_15_the_door_tells_what_it_is() -> None:
    async with services() as stage:
        root = await stage.get("/", token="")
        index = await stage.get("/ai", token="")

    golden("services", "/", root.body)
    golden("services", "/ai", index.body)
    assert "/ai/process-audio" in index.body["endpoints"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_S4_15_its_pages_load_nothing_from_elsewhere(path: str) -> None:
    async with services() as stage:
        page = await stage.get(path, token="")

    assert (page.status, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert b"openapi.json" in page.body
    assert b"https://" not in page.body


async def test_S4_15_where_the_wheel_is_installed_its_files_are_served(tmp_path: Path) -> None:
    (tmp_path / "swagger-ui-dist").mkdir()
    (tmp_path / "swagger-ui-dist" / "swagger-ui.css").write_text("body {}")
    async with services(options=ServicesOptions(page_files=tmp_path)) as stage:
        page = await stage.get("/docs", token="")
        style = await stage.get(f"{FILES}/swagger-ui-dist/swagger-ui.css", token="")

    assert b"swagger-ui-bundle.js" in page.body
    assert style.body == b"body {}"


async def test_the_description_is_of_every_route_and_has_400_and_no_422() -> None:
    async with services() as stage:
        told = (await stage.get("/openapi.json", token="")).body

    assert told["openapi"] == "3.1.0"
    for service in SERVICES:
        method = service.described.method.lower()
        responses = told["paths"][service.described.path][method]["responses"]
        assert "400" in responses
        assert "422" not in responses
    schemas = told["components"]["schemas"]
    assert schemas["AIConfig"]["properties"]["temperature"]["maximum"] == 2
    assert schemas["AIConfig"]["required"] == ["system_prompt"]
    assert {"text", "userText", "tools"} <= schemas["ProcessedAudio"]["properties"].keys()


async def test_every_described_route_is_there() -> None:
    async with services() as stage:
        told = (await stage.get("/openapi.json")).body
        routes = {
            route.path
            for route in stage.door.routes(lambda *_: None)
            if isinstance(route, web.RouteDef)
        }

    assert told["paths"].keys() <= routes


class Counted(BaseModel):
    """How much there was to hear."""

    bytes: int


async def count(call: OneCall, body: TranscribeBody) -> Counted:
    """Count the sound."""
    return Counted(bytes=len(await call.decoded(body.audio, body.format)))


async def test_S4_38_another_service_is_a_function_and_a_row() -> None:
    more = (*SERVICES, service_of("POST /ai/count", count, "CountError"))
    async with services(more=more) as stage:
        answered = await stage.post("/ai/count", {"audio": "AAAA", "format": {"sampleRate": 24000}})
        told = (await stage.get("/openapi.json")).body

    assert answered.body == {"bytes": 2}
    assert told["paths"]["/ai/count"]["post"]["summary"] == "Count the sound"
    assert isinstance(stage.door, ServicesDoor)

"""The door in a whole relay, with the simulator behind its parts and real tokens before it."""

import asyncio
import base64
import io
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp

from relay.audio.wav import wav_of
from relay.parts.simple import Script
from tests.golden.shapes import golden
from tests.scenarios.stage import SPEECH, Stage, stage, token

AUDIO = base64.b64encode(wav_of(SPEECH)).decode()
SPEAK = {"audio": AUDIO, "config": {"system_prompt": "Be brief."}}
PAGE = "https://learn.example"


@asynccontextmanager
async def services_door(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    given = {"relay_doors": ("openai", "browser", "services"), "services_port": 0, **settings}
    script = Script(heard=("What is a volcano?",), replies=("A mountain.",))
    async with stage(folder, script, **given) as here:
        yield here


def own(here: Stage) -> str:
    return f"http://127.0.0.1:{here.app.http.door_ports['services']}"


async def ask(url: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Status, body and headers of a call with ada's token, unless others are given."""
    headers = headers or {"Authorization": f"Bearer {token()}"}
    method = "GET" if body is None else "POST"
    data = None if body is None else io.BytesIO(json.dumps(body).encode())
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, url, data=data, headers=headers) as answer,
    ):
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.read()), answer.headers


async def test_SX_1_the_services_answer_on_the_listener_and_on_their_old_port(
    tmp_path: Path,
) -> None:
    async with services_door(tmp_path) as here:
        for address in (here.http, own(here)):
            status, body, _ = await ask(f"{address}/ai/process-audio", SPEAK)
            assert status == 200, body
            golden("services", "process-audio", body)
            assert body["userText"] == "What is a volcano?"
            assert body["text"] == "A mountain."
        _, root, _ = await ask(f"{own(here)}/")
        _, health, _ = await ask(f"{here.http}/health")

    golden("services", "/", root)
    assert health["status"] == "healthy"
    assert "activeConnections" in health


async def test_a_caller_without_a_token_is_refused_but_at_an_open_door(tmp_path: Path) -> None:
    async with services_door(tmp_path / "closed") as here:
        status, body, headers = await ask(f"{here.http}/ai/process-audio", SPEAK, Accept="*/*")
    async with services_door(tmp_path / "open", relay_open_doors=("services",)) as here:
        admitted, _, _ = await ask(f"{here.http}/ai/process-audio", SPEAK, Accept="*/*")

    assert (status, admitted) == (401, 200)
    golden("services", "401", body)
    assert headers["WWW-Authenticate"] == "Bearer"


async def test_S4_29_calls_of_a_caller_are_limited_as_the_settings_say(tmp_path: Path) -> None:
    async with services_door(tmp_path, max_connects_per_minute=1) as here:
        text = {"text": "Hello", "config": {"system_prompt": ""}}
        seen = [(await ask(f"{here.http}/ai/generate", text))[0] for _ in range(6)]

    assert seen == [200] * 5 + [429]


async def test_S4_30_pages_of_the_configured_origins_may_call(tmp_path: Path) -> None:
    async with services_door(tmp_path, allowed_origins=(PAGE,)) as here:
        bearer = {"Authorization": f"Bearer {token()}"}
        _, _, headers = await ask(f"{here.http}/ai/health", Origin=PAGE)
        refused, body, _ = await ask(
            f"{here.http}/ai/generate", SPEAK, Origin="https://evil.example", **bearer
        )
        async with (
            aiohttp.ClientSession() as http,
            http.options(f"{here.http}/ai/generate", headers={"Origin": PAGE}) as preflight,
        ):
            status, methods = preflight.status, preflight.headers["Access-Control-Allow-Methods"]

    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert refused == 403
    golden("services", "403", body)
    assert (status, "POST" in methods) == (204, True)


async def test_each_call_leaves_its_usage_in_the_store(tmp_path: Path) -> None:
    async with services_door(tmp_path) as here:
        await ask(f"{here.http}/ai/generate", {"text": "Hello", "config": {"system_prompt": ""}})
        async with asyncio.timeout(20):
            while not (users := users_of_usage(tmp_path / "relay.db")):
                await asyncio.sleep(0.05)

    assert users == {"ada"}


def users_of_usage(path: Path) -> set[str]:
    """Whose usage is stored; nobody's before there is a table."""
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as file, suppress(sqlite3.OperationalError):
        return {user for (user,) in file.execute("SELECT user_id FROM voice_usage")}
    return set()

"""A client secret from the HTTP listener opens a session, with its settings, at the OpenAI door."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import openai

from relay.auth.client_secrets import ClientSecrets
from relay.clock import MachineClock
from relay.config import client_secret_key
from relay.parts.simple import Script
from relay.realtime.grant import Caller
from tests.scenarios.stage import Stage, stage, token

SCRIPT = Script(heard=("Hello.",), replies=("Good morning to you.",))


async def secret(here: Stage, session: Any = None) -> str:
    """As OpenAI's own library asks for one."""
    asked: Any = session or {"type": "realtime"}
    async with openai.AsyncOpenAI(base_url=f"{here.http}/v1", api_key=token()) as client:
        made = await client.realtime.client_secrets.create(session=asked)
    assert made.session.type == "realtime"
    return made.value


async def test_openais_library_talks_with_the_settings_of_a_secret(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        settings = {"type": "realtime", "model": "gpt-realtime-mini", "instructions": "Be brief."}
        key = await secret(here, settings)
        voice = here.voice.replace("ws", "http", 1)
        async with (
            openai.AsyncOpenAI(base_url=f"{voice}/v1", api_key=key) as client,
            client.realtime.connect(model="gpt-realtime") as connection,
        ):
            assert (await connection.recv()).type == "session.created"
            updated: Any = await connection.recv()
            assert updated.type == "session.updated"
            assert updated.session.instructions == "Be brief."
            assert updated.session.model == "gpt-realtime-mini", "it is bound to this one"
            item: Any = {"type": "message", "role": "user"}
            item["content"] = [{"type": "input_text", "text": "Hello."}]
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            done: Any = await connection.recv()
            while done.type != "response.done":
                done = await connection.recv()
            assert done.response.status == "completed"


async def test_azures_client_talks_at_its_own_address(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        azure = openai.AsyncAzureOpenAI(
            azure_endpoint="https://mine.example",
            websocket_base_url=f"{here.voice}/openai",  # it would insist on TLS
            api_key=token(),
            api_version="2025-08-28",
        )
        async with azure, azure.realtime.connect(model="gpt-realtime") as connection:
            created: Any = await connection.recv()
            assert created.type == "session.created"
            assert created.session.model == "gpt-realtime"


async def test_a_secret_has_the_place_of_a_key_in_a_subprotocol(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.browser(await secret(here)) as line:
        await line.until("session.created")
        assert line.socket.subprotocol == "realtime"


async def test_a_secret_opens_nothing_else(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        key = await secret(here)
        async with here.s3_client(token=key) as line:
            assert await line.closed() == (4001, "Unauthorized")
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{here.http}/api/sessions", headers=headers) as answer,
        ):
            assert answer.status == 401


async def test_an_expired_secret_is_a_bad_key(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        earlier = ClientSecrets(
            client_secret_key(here.app.settings), lambda: MachineClock().unix() - 61
        )
        caller = Caller(sub="ada", role="learner", expires_at=9e9)
        headers = {"Authorization": f"Bearer {earlier.make(caller, {}).value}"}
        async with here.openai_client(additional_headers=headers) as line:
            assert await line.closed() == (3000, "invalid_request_error.invalid_api_key")


async def test_a_settings_answer_comes_once(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        headers = {"api-key": await secret(here, {"type": "realtime", "max_output_tokens": 7})}
        async with here.openai_client(additional_headers=headers) as line:
            updated = await line.until("session.updated")
            assert updated["session"]["max_output_tokens"] == 7
            assert line.types == ["session.created", "session.updated"], "the relay's stays hidden"


async def test_the_voice_listener_names_the_other_one(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        voice = here.voice.replace("ws", "http", 1)
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{voice}/v1/realtime/client_secrets", json={"x": "y" * 20_000}) as answer,
        ):
            assert answer.status == 404
            error = json.loads(await answer.text())["error"]
        assert error["code"] == "unknown_url"
        assert "HTTP listener" in error["message"]

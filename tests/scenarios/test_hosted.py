"""Whole calls of a relay whose words, key and agents are a Supabase project's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from relay.app import running
from relay.engines.cascade.outputs import Pace
from relay.parts.simple import scripted_parts
from relay.simulator import SimulatorOptions, simulate
from tests.components import needs
from tests.scenarios.stage import Line, Stage, loaded, new_id
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
LEARNER = "11111111-1111-4111-8111-111111111111"
STRANGER = "22222222-2222-4222-8222-222222222222"
TUTOR = "33333333-3333-4333-8333-333333333333"
SECRET = "88888888-8888-4888-8888-888888888888"
SETTINGS = {
    "voice": "coral",
    "tools": [{"name": "look", "description": "Look at the page."}],
    "limits": {"max_output_tokens": 1000},
}
Event = dict[str, Any]


@dataclass(slots=True)
class Hosted:
    """A relay of a project, and what its engine was sent."""

    stage: Stage
    project: Project
    went_up: list[Event]

    def call(self, sub: str = LEARNER, agent_id: str = TUTOR, **query: str) -> Any:
        """S3's own front end, with a token of the project's."""
        return self.stage.s3_client(token=self.project.mint(sub), agent_id=agent_id, **query)

    async def rows(self, count: int, within: float = 30.0) -> list[tuple[Any, ...]]:
        """All messages once there are so many, in conversation order."""
        query = (
            "select role, content ->> 'text', conversation_id::text, sender_user_id::text,"
            " sender_agent_id::text from chat_messages_v2 order by created_at"
        )
        async with asyncio.timeout(within):
            while len(found := await self.project.sql(query)) < count:
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def hosted(folder: Path, project: Project, key: str = "sk-vault") -> AsyncIterator[Hosted]:
    """A relay with one agent, the learner's own, and a provider's key in the vault."""
    for user in (LEARNER, STRANGER):
        await project.add_user(user)
    await project.add_agent(TUTOR, user_id=LEARNER, instructions="Be brief.")
    await project.sql(
        "insert into voice_agents (agent_id, settings) values (%s, %s)", TUTOR, SETTINGS
    )
    await project.sql("insert into vault.secrets (id, secret) values (%s, %s)", SECRET, key)
    await project.sql(
        "update system_api_keys set vault_secret_id = %s, is_active = true"
        " where provider_name = 'openai'",
        SECRET,
    )
    went_up: list[Event] = []
    options = SimulatorOptions(
        parts=scripted_parts(),
        pace=Pace(burst=50.0),
        on_frame=lambda frame: went_up.append(json.loads(frame)),
    )
    async with await simulate(options) as simulator:
        given = loaded(
            folder,
            relay_engine="openai",
            openai_base_url=simulator.base_url,
            relay_store="supabase",
            supabase_url=project.url,
            supabase_service_role_key=project.service_key,
            supabase_jwt_secret=SecretStr(project.jwt_secret),
        )
        async with running(given) as app:
            yield Hosted(Stage(app, simulator, folder), project, went_up)


async def turn(line: Line) -> str:
    """One spoken question and its answer; the conversation's id, "" where it was not told."""
    await line.until("session.updated")
    await line.speak()
    await line.until("response.done")
    created = [event for event in line.events if event["type"] == "conversation.created"]
    return str(created[0]["conversation_id"]) if created else ""


async def test_S3_88_the_agents_row_and_its_settings_reach_the_engine(
    tmp_path: Path, project: Project
) -> None:
    async with hosted(tmp_path, project) as here:
        async with here.call(voice="verse") as line:
            told = await line.until("session.updated")
            assert told["session"]["voice"] == "coral"
        first = next(event for event in here.went_up if event["type"] == "session.update")
        session = first["session"]
        assert session["instructions"] == "Be brief."
        assert session["audio"]["output"]["voice"] == "coral"
        assert [tool["name"] for tool in session["tools"]] == ["look"]
        assert session["max_output_tokens"] == 1000


async def test_S3_30_an_agent_that_is_not_the_callers_or_is_none_is_4003(
    tmp_path: Path, project: Project
) -> None:
    async with hosted(tmp_path, project) as here:
        for sub, agent in ((STRANGER, TUTOR), (LEARNER, new_id()), (LEARNER, "tutor")):
            async with here.call(sub, agent) as line:
                assert await line.closed() == (4003, "Forbidden")
        bearer = {"Authorization": f"Bearer {project.mint(STRANGER)}"}
        query = f"?agent_id={TUTOR}"
        async with here.stage.openai_client(query, additional_headers=bearer) as line:
            assert await line.closed() == (4003, "Forbidden")


async def test_S3_15_S3_33_a_call_is_made_with_the_vaults_key_and_its_words_are_rows(
    tmp_path: Path, project: Project
) -> None:
    async with hosted(tmp_path, project) as here:
        async with here.call() as line:
            conversation = await turn(line)
        rows = await here.rows(2)
        assert [(row[0], *row[2:]) for row in rows] == [
            ("user", conversation, LEARNER, None),
            ("assistant", conversation, None, TUTOR),
        ]
        assert all(row[1] for row in rows)
        ((count,),) = await project.sql("select message_count from conversation_sessions")
        assert count == 2


async def test_S3_28_a_conversation_goes_on_and_S3_29_is_nobody_elses(
    tmp_path: Path, project: Project
) -> None:
    await project.add_agent(new_id())
    async with hosted(tmp_path, project) as here:
        await project.sql(
            'update voice_agents set settings = settings || \'{"roles": ["learner"]}\''
        )
        async with here.call() as line:
            conversation = await turn(line)
        await here.rows(2)
        async with here.call(conversation_id=conversation) as line:
            assert await turn(line) == ""
        rows = await here.rows(4)
        assert {row[2] for row in rows} == {conversation}
        async with here.call(STRANGER, conversation_id=conversation) as line:
            assert await line.closed() == (4003, "Forbidden")


async def test_S3_16_a_key_that_is_inactive_is_not_configured(
    tmp_path: Path, project: Project
) -> None:
    async with hosted(tmp_path, project) as here:
        await project.sql("update system_api_keys set is_active = false")
        async with here.call() as line:
            assert await line.closed() == (1011, "OpenAI API key not configured")


async def test_S3_80_a_rotated_key_is_used_by_the_next_calls(
    tmp_path: Path, project: Project
) -> None:
    async with hosted(tmp_path, project, key="bad-key") as here:
        async with here.call() as line:
            assert await line.closed() == (1011, "OpenAI connection closed")
        await project.sql("update vault.secrets set secret = 'sk-new' where id = %s", SECRET)
        async with asyncio.timeout(10):
            while True:
                async with here.call() as line:
                    kind = json.loads(await line.socket.recv())["type"]
                if kind == "session.created":
                    break
                await asyncio.sleep(0.3)  # who dials on without a pause has to wait


async def test_S3_39_a_call_goes_on_without_the_database_and_is_stored_when_it_is_back(
    tmp_path: Path, project: Project
) -> None:
    async with hosted(tmp_path, project) as here:
        async with here.call() as line:
            await line.until("session.updated")
            await project.stop_database()
            await line.speak()
            await line.until("response.done")
        async with asyncio.timeout(10):
            while (await here.stage.get("/ready"))[0] == 200:
                await asyncio.sleep(0.02)
        assert "Database" in (await here.stage.get("/ready"))[1]
        await project.start_database()
        rows = await here.rows(2, within=20)
        assert [row[0] for row in rows] == ["user", "assistant"]


@pytest.mark.parametrize("fault", ["hang", "503", "html"])
async def test_a_caller_whom_nobody_can_place_is_told_of_a_fault_of_ours(
    tmp_path: Path, project: Project, fault: Any
) -> None:
    async with hosted(tmp_path, project) as here:
        project.misbehave.always(fault)
        async with here.call() as line:
            assert await line.closed(within=15) == (1011, "Internal server error")


async def test_a_database_row_runs_nothing_here(tmp_path: Path, project: Project) -> None:
    async with hosted(tmp_path, project) as here:
        evil = {"server_tools": {"run": {"entry_point": "os:abort"}}}
        await project.sql("update voice_agents set settings = %s", evil)
        async with here.call() as line:
            assert await line.closed() == (1011, "Internal server error")

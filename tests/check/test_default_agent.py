"""DEFAULT_AGENT: an agent of the project, an unknown id, or not an id."""

import pytest

from relay.check.supabase import check_default_agent
from tests.check.projects import AGENT, client_of
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


async def test_an_agent_of_the_project_passes(project: Project) -> None:
    await project.add_agent(AGENT)

    assert (await check_default_agent(AGENT, await client_of(project))).state == "ok"


@pytest.mark.parametrize("agent_id", [AGENT, "default"])
async def test_another_id_fails(project: Project, agent_id: str) -> None:
    found = await check_default_agent(agent_id, await client_of(project))

    assert found.state == "fail"
    assert found.what.endswith("callers who name no agent are refused")
    assert found.hint == "set DEFAULT_AGENT to the id of a row of the project's table agents"


async def test_invalid_settings_are_named_by_key(project: Project) -> None:
    await project.add_agent(AGENT)
    query = "insert into voice_agents (agent_id, settings) values (%s, %s)"
    await project.sql(query, AGENT, {"voize": "marin"})
    found = await check_default_agent(AGENT, await client_of(project))

    assert found.state == "fail"
    assert "voize: is not known here; did you mean voice?" in found.what
    assert found.hint == f"correct voice_agents.settings of agent {AGENT}, see docs/agents.md"


async def test_without_the_table_the_check_is_skipped(empty_project: Project) -> None:
    assert (await check_default_agent(AGENT, await client_of(empty_project))).state == "skip"

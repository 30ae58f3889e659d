"""DEFAULT_AGENT: an agent of the project, somebody else's id, or none at all."""

import pytest

from relay.check.supabase import default_agent
from tests.check.projects import AGENT, asked
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


async def test_an_agent_of_the_project_is_well(project: Project) -> None:
    await project.add_agent(AGENT)

    assert (await default_agent(AGENT, await asked(project))).state == "ok"


@pytest.mark.parametrize("agent_id", [AGENT, "default"])
async def test_one_that_is_none_is_told(project: Project, agent_id: str) -> None:
    found = await default_agent(agent_id, await asked(project))

    assert found.state == "fail"
    assert found.what.endswith("callers who name no agent are refused")
    assert found.mend == "set DEFAULT_AGENT to the id of a row of the project's table agents"


async def test_settings_that_are_none_are_told_by_key(project: Project) -> None:
    await project.add_agent(AGENT)
    query = "insert into voice_agents (agent_id, settings) values (%s, %s)"
    await project.sql(query, AGENT, {"voize": "marin"})
    found = await default_agent(AGENT, await asked(project))

    assert found.state == "fail"
    assert "voize: is not known here; did you mean voice?" in found.what
    assert found.mend == f"mend voice_agents.settings of agent {AGENT}, see docs/agents.md"


async def test_without_the_table_nothing_is_claimed(empty_project: Project) -> None:
    assert (await default_agent(AGENT, await asked(empty_project))).state == "skip"

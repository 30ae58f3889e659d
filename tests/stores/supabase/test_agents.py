"""Agents that a project's tables define."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from relay.agents.config import InvalidAgent
from relay.realtime.endings import INTERNAL_ERROR, SessionRefused
from relay.realtime.grant import Caller
from relay.stores.supabase.client import RestClient
from relay.stores.supabase.config import TableAgents, agent_of
from tests.components import needs
from tests.stores.hosted import access, waiting_for
from tests.supabase.misbehaviour import FAULTS, Fault
from tests.supabase.project import Project

OWNER = "11111111-1111-4111-8111-111111111111"
STRANGER = "22222222-2222-4222-8222-222222222222"
AGENT = "33333333-3333-4333-8333-333333333333"


def caller(sub: str, role: Any = "learner") -> Caller:
    return Caller(sub=sub, role=role, expires_at=0.0)


def test_S3_88_instructions_are_the_agents_own_where_the_settings_have_none() -> None:
    row = {"id": AGENT, "instructions": "Be brief."}
    assert agent_of(AGENT, row, {}).offer.instructions == "Be brief."
    settings = {"instructions": "Be kind.", "voice": "sage"}
    offer = agent_of(AGENT, row, settings).offer
    assert (offer.instructions, offer.voice) == ("Be kind.", "sage")


@pytest.mark.parametrize("column", ["instructions", "system_instructions", "system_prompt"])
def test_S3_88_instructions_are_found_in_each_column_that_may_hold_them(column: str) -> None:
    row = {"id": AGENT, "instructions": None, "name": "Tutor", column: "Be brief."}
    assert agent_of(AGENT, row, {}).offer.instructions == "Be brief."


@pytest.mark.parametrize("row", [{}, {"instructions": ""}, {"system_prompt": {"text": "no"}}])
def test_an_agent_may_have_no_instructions(row: dict[str, Any]) -> None:
    assert agent_of(AGENT, row, {}).offer.instructions is None


def test_S3_30_an_agent_serves_its_owner() -> None:
    agent = agent_of(AGENT, {"user_id": OWNER}, {})
    assert agent.serves(caller(OWNER))
    assert not agent.serves(caller(STRANGER))
    assert not agent.serves(caller(STRANGER, "admin"))


def test_S3_30_an_agent_serves_the_callers_its_settings_name() -> None:
    agent = agent_of(AGENT, {"user_id": OWNER}, {"roles": ["learner"]})
    assert agent.serves(caller(STRANGER))
    assert not agent.serves(caller(STRANGER, "coach"))


def test_S3_30_an_agent_without_an_owner_serves_everyone() -> None:
    assert agent_of(AGENT, {"user_id": None}, {}).serves(caller(STRANGER))


@pytest.mark.parametrize(
    ("tool", "key"),
    [
        ({"entry_point": "os:system"}, "entry_point"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "https://evil.example", "secret_env": "HOME"}, "secret_env"),
    ],
)
def test_a_row_runs_no_code_reads_no_secret_and_reaches_no_host(tool: Any, key: str) -> None:
    with pytest.raises(InvalidAgent) as bad:
        agent_of(AGENT, {}, {"server_tools": {"lookup": tool}})
    assert any(problem.startswith(f"server_tools.lookup.{key}: ") for problem in bad.value.problems)
    assert "evil" not in str(bad.value)


@pytest.mark.parametrize(
    "settings",
    [
        *(None, [], "voice", {"voise": "sage"}, {"server_tools": {"lookup": {}}}),
        *({"server_tools": [1]}, {"limits": {"session_seconds": "long"}}),
    ],
)
def test_invalid_settings_make_no_agent(settings: Any) -> None:
    with pytest.raises(InvalidAgent):
        agent_of(AGENT, {}, settings)


REAL = needs("postgresql", "postgrest")
AGENTS = "/rest/v1/agents"


class School:
    """A project's agents, as a relay knows them at a clock of its own."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.now = 0.0
        self.rest = RestClient(access(project))
        self.agents = TableAgents(self.rest, lambda: self.now)

    async def set(self, settings: dict[str, Any]) -> None:
        await self.project.sql(
            "insert into voice_agents (agent_id, settings) values (%s, %s)"
            " on conflict (agent_id) do update set settings = excluded.settings",
            *(AGENT, settings),
        )

    async def voice(self) -> str | None:
        found = await self.agents.find(AGENT)
        assert found is not None
        return found.offer.voice

    @property
    def asked(self) -> int:
        return self.project.misbehave.seen[AGENTS]


@pytest.fixture
async def school(project: Project) -> AsyncIterator[School]:
    await project.add_user(OWNER)
    await project.add_agent(AGENT, user_id=OWNER, instructions="Be brief.")
    school = School(project)
    yield school
    await school.agents.aclose()
    await school.rest.aclose()


@REAL
async def test_S3_88_both_rows_make_the_agent(school: School) -> None:
    await school.set({"voice": "sage", "limits": {"session_seconds": 60}})
    agent = await school.agents.find(AGENT)
    assert agent is not None
    assert (agent.offer.instructions, agent.offer.voice) == ("Be brief.", "sage")
    assert agent.offer.bounds.session_seconds == 60
    assert agent.subs == {OWNER}
    assert agent.offer.agent_id == AGENT


@REAL
async def test_an_agent_without_settings_is_valid(school: School) -> None:
    assert await school.voice() is None


@REAL
async def test_an_id_in_capitals_is_the_same_agent(school: School) -> None:
    agent = await school.agents.find(AGENT.upper())
    assert agent is not None
    assert agent.offer.agent_id == AGENT


@REAL
@pytest.mark.parametrize("agent_id", [STRANGER, "default", "", "x' or true --", f"{{{AGENT}}}"])
async def test_S3_30_an_unknown_agent_is_not_found(school: School, agent_id: str) -> None:
    assert await school.agents.find(agent_id) is None


@REAL
async def test_a_change_is_known_within_half_a_minute(school: School) -> None:
    await school.set({"voice": "sage"})
    assert await school.voice() == "sage"
    await school.set({"voice": "coral"})
    school.now = 29.0
    assert await school.voice() == "sage"
    school.now = 30.0
    assert await school.voice() == "coral"
    assert school.asked == 2


@REAL
async def test_a_known_agent_serves_for_ten_minutes_without_the_database(school: School) -> None:
    await school.set({"voice": "sage"})
    await school.voice()
    await school.project.stop_database()
    school.now = 500.0
    assert await school.voice() == "sage"
    school.now = 601.0
    with pytest.raises(SessionRefused) as refused:
        await school.voice()
    assert refused.value.ending == INTERNAL_ERROR


@REAL
@pytest.mark.parametrize("fault", FAULTS)
async def test_an_agent_that_cannot_be_read_is_an_internal_error_not_a_refusal(
    school: School, fault: Fault
) -> None:
    school.project.misbehave.always(fault)
    with waiting_for(school.rest, fault), pytest.raises(SessionRefused) as refused:
        await school.agents.find(AGENT)
    assert refused.value.ending == INTERNAL_ERROR


@REAL
async def test_an_invalid_agent_is_refused_and_logged_once_with_its_keys(
    school: School,
) -> None:
    evil = {"url": "https://evil.example", "secret_env": "HOME"}
    await school.set({"server_tools": {"run": evil}})
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(SessionRefused) as refused:
                await school.agents.find(AGENT)
            assert refused.value.ending == INTERNAL_ERROR
    (line,) = logs
    assert (line["event"], line["agent_id"]) == ("agent is invalid", AGENT)
    assert [problem.split(":")[0] for problem in line["problems"]] == [
        "server_tools.run.secret_env",
        "server_tools.run.url",
    ]

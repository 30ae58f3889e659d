"""Agents from a project's tables."""

from typing import Any

import pytest

from relay.access.agent_table import BadAgent
from relay.realtime.grant import Caller
from relay.stores.supabase_agents import agent_of

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
def test_S3_88_whatever_the_column_is_called(column: str) -> None:
    row = {"id": AGENT, "instructions": None, "name": "Tutor", column: "Be brief."}
    assert agent_of(AGENT, row, {}).offer.instructions == "Be brief."


@pytest.mark.parametrize("row", [{}, {"instructions": ""}, {"system_prompt": {"text": "no"}}])
def test_an_agent_may_say_nothing(row: dict[str, Any]) -> None:
    assert agent_of(AGENT, row, {}).offer.instructions is None


def test_S3_30_an_agent_serves_its_owner() -> None:
    agent = agent_of(AGENT, {"user_id": OWNER}, {})
    assert agent.serves(caller(OWNER))
    assert not agent.serves(caller(STRANGER))
    assert not agent.serves(caller(STRANGER, "admin"))


def test_S3_30_or_whom_its_settings_name() -> None:
    agent = agent_of(AGENT, {"user_id": OWNER}, {"roles": ["learner"]})
    assert agent.serves(caller(STRANGER))
    assert not agent.serves(caller(STRANGER, "coach"))


def test_S3_30_or_everybody_where_nobody_owns_it() -> None:
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
    with pytest.raises(BadAgent) as bad:
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
def test_a_mistake_in_the_settings_is_no_agent(settings: Any) -> None:
    with pytest.raises(BadAgent):
        agent_of(AGENT, {}, settings)

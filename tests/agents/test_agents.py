"""Whom an agent serves, and who knows the agents."""

import pytest

from relay.agents.agent import Agent, OpenCatalog, StaticCatalog, plain_agent
from relay.realtime.grant import Caller, Role


def caller(sub: str, role: Role = "learner") -> Caller:
    return Caller(sub=sub, role=role, expires_at=9e9)


@pytest.mark.parametrize(
    ("roles", "subs", "served"),
    [
        ((), (), {"ada", "grace"}),
        (("coach",), (), {"grace"}),
        ((), ("ada",), {"ada"}),
        (("coach",), ("ada",), {"ada", "grace"}),
        (("admin",), (), set()),
    ],
)
def test_an_agent_serves_the_roles_and_people_it_names(
    roles: tuple[str, ...], subs: tuple[str, ...], served: set[str]
) -> None:
    agent = Agent(plain_agent("a1").offer, frozenset(roles), frozenset(subs))
    callers = (caller("ada"), caller("grace", "coach"))
    assert {one.sub for one in callers if agent.serves(one)} == served


async def test_where_none_are_configured_any_id_is_an_agent_that_sets_nothing() -> None:
    agent = await OpenCatalog().find("anything")
    assert agent is not None
    assert agent.offer.agent_id == "anything"
    assert agent.offer.locked == {"model"}
    assert agent.serves(caller("ada"))


async def test_a_list_knows_its_own_and_no_other() -> None:
    known = StaticCatalog({"a1": plain_agent("a1")})
    assert await known.find("a1") == plain_agent("a1")
    assert await known.find("a2") is None

"""Agents: who may call them, and what everyone who calls one is granted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from relay.realtime.grant import Caller, Grant

# Whom an offer is made to before anybody calls.
_NOBODY: Final = Caller(sub="", role="learner", expires_at=0.0)


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent: `offer` is what its callers are granted, but for who they are and what they ask.

    With neither `roles` nor `subs` everybody may call; else who has such a role or is named.
    """

    offer: Grant
    roles: frozenset[str] = field(default=frozenset())
    subs: frozenset[str] = field(default=frozenset())

    def serves(self, caller: Caller) -> bool:
        """Whether this caller may use the agent."""
        if not self.roles and not self.subs:
            return True
        return caller.role in self.roles or caller.sub in self.subs


class Agents(Protocol):
    """Whoever knows the agents: nobody, a file, a table."""

    async def find(self, agent_id: str) -> Agent | None:
        """The agent of this id, None where there is no such agent.

        Raises `Refused` (INTERNAL_ERROR) when nobody could be asked.
        """


def plain_agent(agent_id: str) -> Agent:
    """An agent that sets nothing and serves everybody."""
    return Agent(Grant(caller=_NOBODY, agent_id=agent_id))


class AnyAgent:
    """Where no agents are configured, every id is an agent that sets nothing."""

    async def find(self, agent_id: str) -> Agent | None:
        """A plain agent."""
        return plain_agent(agent_id)


class ListedAgents:
    """Those agents and no others."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self.all = agents

    async def find(self, agent_id: str) -> Agent | None:
        """The one of this id."""
        return self.all.get(agent_id)

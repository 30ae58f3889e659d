"""Agents in a project's tables: S3's `agents` row, and what `voice_agents` sets for calls."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from relay.agents.agent import Agent
from relay.agents.config import BadAgent, read_agent
from relay.realtime.endings import INTERNAL_ERROR, Refused
from relay.stores.kept import Kept, Terms
from relay.stores.supabase import is_uuid
from relay.stores.supabase_troubles import DatabaseTrouble

if TYPE_CHECKING:
    from relay.stores.supabase_rest import Rest, Row

TERMS: Final = Terms(fresh=30.0, stale=600.0, most=4096)
"""A change is heard within half a minute; without the database, agents are known for ten."""
INSTRUCTIONS: Final = ("instructions", "system_instructions", "system_prompt")
"""Columns of `agents` that may hold them, by the age of the schema; the first that does counts."""
SERVER_ONLY: Final = ("entry_point", "secret_env", "url")
"""What a row may not set of a server tool: it would run code, read secrets or reach hosts here."""
MOST_TOLD: Final = 10
"""Mistakes of one agent in one line of the log."""

log = structlog.get_logger(__name__)


class TableAgents:
    """`relay.access.agents.Agents` in a project's tables."""

    def __init__(self, rest: "Rest", clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._kept = Kept(self._read, TERMS, clock)

    async def find(self, agent_id: str) -> Agent | None:
        """The agent of this id, None where there is no such agent.

        Raises `Refused` (INTERNAL_ERROR) when nobody could be asked, or its settings are no
        settings; the log says which.
        """
        if not is_uuid(agent_id):
            return None
        try:
            found = await self._kept.get(agent_id.lower())
        except DatabaseTrouble as trouble:
            log.warning("agent not read", agent_id=agent_id, reason=type(trouble).__name__)
            raise Refused(INTERNAL_ERROR) from None
        if isinstance(found, BadAgent):
            raise Refused(INTERNAL_ERROR)
        return found

    async def aclose(self) -> None:
        """Give up questions that are under way."""
        await self._kept.aclose()

    async def _read(self, agent_id: str) -> Agent | BadAgent | None:
        """As both rows say; a bad one is kept too, so that it is told once in a while."""
        rows = await self._rest.rows(self._rest.select("agents", "*").eq("id", agent_id).limit(1))
        if not rows:
            return None
        voice = self._rest.select("voice_agents", "settings").eq("agent_id", agent_id).limit(1)
        found = await self._rest.rows(voice)
        settings = found[0].get("settings") if found else {}
        try:
            return agent_of(agent_id, rows[0], settings)
        except BadAgent as bad:
            log.warning("agent refused", agent_id=agent_id, problems=bad.problems[:MOST_TOLD])
            return bad


def agent_of(agent_id: str, row: "Row", settings: object) -> Agent:
    """The agent of both rows; raises `BadAgent` with every mistake.

    Who may call is what the settings say (`roles`, `subs`), else the agent's owner, else everybody.
    """
    if not isinstance(settings, dict):
        raise BadAgent(("settings: must be an object",))
    forbidden = tuple(_forbidden(settings))
    if forbidden:
        raise BadAgent(forbidden)
    agent = read_agent(agent_id, {**_instructions(row), **settings})
    owner = row.get("user_id")
    if isinstance(owner, str) and owner and not agent.roles and not agent.subs:
        return dataclasses.replace(agent, subs=frozenset({owner}))
    return agent


def _instructions(row: "Row") -> dict[str, str]:
    texts = (row.get(column) for column in INSTRUCTIONS)
    found = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return {} if found is None else {"instructions": found}


def _forbidden(settings: Mapping[str, Any]) -> Iterator[str]:
    tools = settings.get("server_tools")
    for name, tool in tools.items() if isinstance(tools, dict) else ():
        for key in SERVER_ONLY:
            if isinstance(tool, dict) and key in tool:
                yield f"server_tools.{name}.{key}: only a file of agents may set this"

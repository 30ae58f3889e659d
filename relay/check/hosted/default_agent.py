"""Whether callers who name no agent get one: DEFAULT_AGENT is an agent of the project."""

from http import HTTPStatus
from typing import Final

from relay.agents.config import BadAgent
from relay.check.finding import Finding, fail, ok, skip
from relay.check.hosted.asking import Hosted, Said
from relay.stores.supabase.config import agent_of
from relay.stores.supabase.store import is_uuid

_MEND: Final = "set DEFAULT_AGENT to the id of a row of the project's table agents"
_REFUSED: Final = "callers who name no agent are refused"


async def default_agent(agent_id: str, hosted: Hosted) -> Finding:
    """Read the agent as a call would."""
    if not is_uuid(agent_id):
        return fail(f"DEFAULT_AGENT is no id of the project's agents: {_REFUSED}", _MEND)
    agents = await hosted.ask(f"/rest/v1/agents?select=*&id=eq.{agent_id}&limit=1")
    path = f"/rest/v1/voice_agents?select=settings&agent_id=eq.{agent_id}&limit=1"
    voices = await hosted.ask(path)
    if agents.status != HTTPStatus.OK:
        return skip("the project's agents cannot be read")
    row = _first(agents)
    if row is None:
        return fail(f"DEFAULT_AGENT is no agent of the project: {_REFUSED}", _MEND)
    try:
        agent_of(agent_id, row, (_first(voices) or {}).get("settings", {}))
    except BadAgent as bad:
        mend = f"mend voice_agents.settings of agent {agent_id}, see docs/agents.md"
        return fail(f"the settings of DEFAULT_AGENT are none: {bad}", mend)
    return ok("DEFAULT_AGENT is an agent of the project")


def _first(said: Said) -> dict[str, object] | None:
    rows = said.document if said.status == HTTPStatus.OK else None
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None

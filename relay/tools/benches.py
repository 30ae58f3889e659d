"""A bench for each session whose agent has tools that run here."""

from collections.abc import Callable

from relay.agents.agent import Agents, ListedAgents
from relay.realtime.grant import Grant
from relay.tools.work import Context
from relay.tools.workshop import Bench, Workshop


def benches(agents: Agents, workshop: Workshop) -> Callable[[Grant, str, str], Bench | None]:
    """Given grant, session and conversation: where its tools run, None for a grant without any.

    Every tool that is known now is made ready once; raises ToolMisconfigured.
    """
    if isinstance(agents, ListedAgents):
        for agent in agents.all.values():
            workshop.prepare(agent.offer.server_tools)

    def make(grant: Grant, session_id: str, conversation_id: str) -> Bench | None:
        if not grant.server_tools:
            return None
        context = Context(grant.caller.sub, grant.agent_id, conversation_id, session_id)
        return workshop.bench(grant.server_tools, context)

    return make

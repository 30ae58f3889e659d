"""The agents that RELAY_AGENTS names, and the secrets that their tools need."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relay.agents.agent import Agents, AnyAgent, ListedAgents
from relay.agents.config import BadAgents, load_agents
from relay.settings.checks import Given
from relay.settings.names import Settings


@dataclass(frozen=True, slots=True)
class Configured:
    """The agents, the secrets of their tools by environment variable, and what is doubtful."""

    agents: Agents = field(default_factory=AnyAgent)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


def configured(settings: Settings, given: Given) -> Configured:
    """Read the file; raises `BadAgents` with each mistake in one line."""
    path = settings.relay_agents
    if path is None:
        return Configured()
    agents = load_agents(path)
    secrets = {name: given.get(name.lower(), "") for _, name in _secrets(agents)}
    problems = list(_unusable(path, agents, secrets))
    if problems:
        raise BadAgents(*problems)
    return Configured(agents, secrets, tuple(_doubts(settings, path, agents)))


def _secrets(agents: ListedAgents) -> Iterator[tuple[str, str]]:
    """Every place that names an environment variable, and the name."""
    for agent_id, agent in agents.all.items():
        for tool in agent.offer.server_tools:
            if tool.secret_env is not None:
                yield f"agent {agent_id!r}: server_tools.{tool.name}.secret_env", tool.secret_env


def _unusable(path: Path, agents: ListedAgents, secrets: Mapping[str, str]) -> Iterator[str]:
    for place, name in _secrets(agents):
        if name.lower() in Settings.model_fields:  # a key of the relay's own leaves it to nobody
            yield f"{path}: {place}: {name} is a setting of the relay: name a variable of its own"
        elif not secrets[name]:
            yield f"{path}: {place}: {name} is not set in the environment"


def _doubts(settings: Settings, path: Path, agents: ListedAgents) -> Iterator[str]:
    if settings.default_agent not in agents.all:
        named = f"DEFAULT_AGENT={settings.default_agent}"
        yield f"{named} is no agent of {path}: callers who name none are refused"

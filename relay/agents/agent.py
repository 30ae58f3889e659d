"""Agents: finds them, checks who may use them, and grants sessions."""

import dataclasses
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from relay.realtime.endings import FORBIDDEN, SessionRefused
from relay.realtime.grant import Caller, Grant

MAX_NAME = 128  # characters of an agent's id or a model's name; both are passed on and stored
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

FALLBACK_VOICE = "alloy"  # S3's default (CONTRACTS §2.3)
VOICES = frozenset(
    {"alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"}
)

# Stands in an agent's offer until a caller is granted it.
_NO_CALLER: Final = Caller(sub="", role="learner", expires_at=0.0)


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent. `offer` is its grant, without the caller and the caller's requests.

    With neither `roles` nor `subs` every caller may use it; else those of such a role or subject.
    """

    offer: Grant
    roles: frozenset[str] = field(default=frozenset())
    subs: frozenset[str] = field(default=frozenset())

    def serves(self, caller: Caller) -> bool:
        """Whether this caller may use the agent."""
        if not self.roles and not self.subs:
            return True
        return caller.role in self.roles or caller.sub in self.subs


class AgentCatalog(Protocol):
    """Finds agents by their id."""

    async def find(self, agent_id: str) -> Agent | None:
        """Return the agent of this id, None if there is none.

        Raises `SessionRefused` (INTERNAL_ERROR) if the catalog cannot be read.
        """


def plain_agent(agent_id: str) -> Agent:
    """An agent that sets nothing and serves every caller."""
    return Agent(Grant(caller=_NO_CALLER, agent_id=agent_id))


class OpenCatalog:
    """The catalog when no agents are configured: every id is an agent that sets nothing."""

    async def find(self, agent_id: str) -> Agent | None:
        """Return a plain agent."""
        return plain_agent(agent_id)


class StaticCatalog:
    """A fixed set of agents, by id."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self.all = agents

    async def find(self, agent_id: str) -> Agent | None:
        """Return the agent of this id, None if there is none."""
        return self.all.get(agent_id)


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A caller's request for a session; an empty text counts as None."""

    agent_id: str | None = None
    conversation_id: str | None = None
    model: str | None = None
    relay_events: bool = False


@dataclass(frozen=True, slots=True)
class AgentDefaults:
    """The catalog, and what a caller who asks for nothing gets.

    `agent_id` is DEFAULT_AGENT, `model` OPENAI_REALTIME_MODEL.
    """

    agent_id: str
    model: str
    agents: AgentCatalog = field(default_factory=OpenCatalog)


@dataclass(frozen=True, slots=True)
class VoiceChoice:
    """The voice of a session; `refused` is an unknown voice that was asked for, else None."""

    voice: str
    refused: str | None = None


async def grant_for(caller: Caller, asked: SessionRequest, defaults: AgentDefaults) -> Grant:
    """Grant a session with the agent that is asked for, else the token's, else the default.

    Raises `SessionRefused`: FORBIDDEN for an agent that is unknown or not for this caller, an
    invalid id, or a conversation that is not a UUID (whether it is the caller's own is checked
    against the store later); INTERNAL_ERROR if the catalog cannot be read.
    """
    agent = await defaults.agents.find(_agent_id(caller, asked, defaults))
    if agent is None or not agent.serves(caller):
        raise SessionRefused(FORBIDDEN)
    return _granted(agent, caller, asked, defaults)


def _agent_id(caller: Caller, asked: SessionRequest, defaults: AgentDefaults) -> str:
    agent_id = asked.agent_id or caller.agent_id or defaults.agent_id
    if len(agent_id) > MAX_NAME or not agent_id.isprintable():
        raise SessionRefused(FORBIDDEN)
    return agent_id


def _granted(agent: Agent, caller: Caller, asked: SessionRequest, defaults: AgentDefaults) -> Grant:
    """The agent's offer for this caller, who may choose a model if the agent sets none."""
    offer = agent.offer
    model = offer.model or defaults.model
    if offer.model is None or "model" in offer.overridable:
        model = _model(asked.model, model)
    return dataclasses.replace(
        offer,
        caller=caller,
        model=model,
        conversation_id=_conversation(asked.conversation_id),
        relay_events=asked.relay_events,
    )


def choose_voice(asked: str | None, default: str | None = None) -> VoiceChoice:
    """Choose by the browser door's `?voice=`, else the agent's `default`, else alloy.

    An unknown voice counts as none (CONTRACTS §3.17).
    """
    fallback = default or FALLBACK_VOICE
    if not asked:
        return VoiceChoice(fallback)
    if asked.lower() in VOICES:
        return VoiceChoice(asked.lower())
    return VoiceChoice(fallback, refused=asked[:MAX_NAME])


def _model(asked: str | None, default: str) -> str:
    # The name becomes part of a URL and of rows; an invalid one is ignored.
    return asked if asked and MODEL.fullmatch(asked) else default


def _conversation(asked: str | None) -> str | None:
    if not asked:
        return None
    try:
        canonical = str(uuid.UUID(asked))
    except ValueError:
        raise SessionRefused(FORBIDDEN) from None
    # Other spellings of a UUID (braces, urn:, no hyphens) would give one conversation two ids.
    if canonical != asked.lower():
        raise SessionRefused(FORBIDDEN)
    return canonical

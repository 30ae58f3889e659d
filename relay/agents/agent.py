"""Agents: who may call them, and what everyone who calls one is granted."""

import dataclasses
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from relay.realtime.endings import FORBIDDEN, SessionRefused
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


class AgentCatalog(Protocol):
    """Whoever knows the agents: nobody, a file, a table."""

    async def find(self, agent_id: str) -> Agent | None:
        """The agent of this id, None where there is no such agent.

        Raises `SessionRefused` (INTERNAL_ERROR) when nobody could be asked.
        """


def plain_agent(agent_id: str) -> Agent:
    """An agent that sets nothing and serves everybody."""
    return Agent(Grant(caller=_NOBODY, agent_id=agent_id))


class OpenCatalog:
    """Where no agents are configured, every id is an agent that sets nothing."""

    async def find(self, agent_id: str) -> Agent | None:
        """A plain agent."""
        return plain_agent(agent_id)


class StaticCatalog:
    """Those agents and no others."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self.all = agents

    async def find(self, agent_id: str) -> Agent | None:
        """The one of this id."""
        return self.all.get(agent_id)


# ---- What a caller may do, decided once at the door.

MAX_NAME = 128  # characters of an agent's id or a model's name; both travel on and are stored
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

FALLBACK_VOICE = "alloy"  # S3's default (CONTRACTS §2.3)
VOICES = frozenset(
    {"alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"}
)


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What the caller asked for at the door; an empty text is as good as none."""

    agent_id: str | None = None
    conversation_id: str | None = None
    model: str | None = None
    relay_events: bool = False


@dataclass(frozen=True, slots=True)
class AgentDefaults:
    """What one gets without asking: DEFAULT_AGENT and OPENAI_REALTIME_MODEL; and the agents."""

    agent_id: str
    model: str
    agents: AgentCatalog = field(default_factory=OpenCatalog)


@dataclass(frozen=True, slots=True)
class VoiceChoice:
    """The voice a session gets; `refused` is what was asked for instead, None when all is well."""

    voice: str
    refused: str | None = None


async def grant_for(caller: Caller, asked: SessionRequest, defaults: AgentDefaults) -> Grant:
    """Grant a call of the agent that is asked for, else of the token's own, else of the default.

    Raises `SessionRefused`: FORBIDDEN for an agent that is unknown or not for this caller, an id
    that cannot be one, or a conversation that is not a UUID (that it is the caller's own is for the
    store to say); INTERNAL_ERROR when nobody could be asked for the agent.
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
    """The agent's offer, to this caller; the wish for a model counts where the agent has none."""
    offer = agent.offer
    model = offer.model or defaults.model
    if offer.model is None or "model" in offer.open:
        model = _model(asked.model, model)
    return dataclasses.replace(
        offer,
        caller=caller,
        model=model,
        conversation_id=_conversation(asked.conversation_id),
        relay_events=asked.relay_events,
    )


def choose_voice(asked: str | None, default: str | None = None) -> VoiceChoice:
    """Choose by the S3 door's `?voice=`; an unknown one becomes the default (CONTRACTS §3.17).

    The default is the agent's, else alloy.
    """
    fallback = default or FALLBACK_VOICE
    if not asked:
        return VoiceChoice(fallback)
    if asked.lower() in VOICES:
        return VoiceChoice(asked.lower())
    return VoiceChoice(fallback, refused=asked[:MAX_NAME])


def _model(asked: str | None, default: str) -> str:
    # The name becomes part of an address and of rows; what cannot be a name is not a wish.
    return asked if asked and MODEL.fullmatch(asked) else default


def _conversation(asked: str | None) -> str | None:
    if not asked:
        return None
    try:
        canonical = str(uuid.UUID(asked))
    except ValueError:
        raise SessionRefused(FORBIDDEN) from None
    if canonical != asked.lower():  # braces, urn: and missing hyphens are other names for it
        raise SessionRefused(FORBIDDEN)
    return canonical

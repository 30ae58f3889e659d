"""What a caller may do, decided once at the door; pure."""

import re
import uuid
from dataclasses import dataclass

from relay.realtime.endings import FORBIDDEN, Refused
from relay.realtime.grant import Caller, Grant

MAX_NAME = 128  # characters of an agent's id or a model's name; both travel on and are stored
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

FALLBACK_VOICE = "alloy"  # S3's default (CONTRACTS 2.3)
VOICES = frozenset(
    {"alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller asked for at the door; an empty text is as good as none."""

    agent_id: str | None = None
    conversation_id: str | None = None
    model: str | None = None
    relay_events: bool = False


@dataclass(frozen=True, slots=True)
class Defaults:
    """What one gets without asking: DEFAULT_AGENT and OPENAI_REALTIME_MODEL."""

    agent_id: str
    model: str


@dataclass(frozen=True, slots=True)
class VoiceChoice:
    """The voice a session gets; `refused` is what was asked for instead, None when all is well."""

    voice: str
    refused: str | None = None


def decide(caller: Caller, asked: Asked, defaults: Defaults) -> Grant:
    """Grant a call where no agents are configured: every agent id gets the same.

    The model is left open, so that the caller's wish counts. Raises `Refused` (FORBIDDEN) for a
    conversation that is not a UUID or an agent id that cannot be one. That a conversation is the
    caller's own is for the store to say.
    """
    agent_id = asked.agent_id or caller.agent_id or defaults.agent_id
    if len(agent_id) > MAX_NAME or not agent_id.isprintable():
        raise Refused(FORBIDDEN)
    return Grant(
        caller=caller,
        agent_id=agent_id,
        model=_model(asked.model, defaults.model),
        conversation_id=_conversation(asked.conversation_id),
        relay_events=asked.relay_events,
    )


def choose_voice(asked: str | None) -> VoiceChoice:
    """Choose by the S3 door's `?voice=`; an unknown one becomes alloy (CONTRACTS §3.17)."""
    if not asked:
        return VoiceChoice(FALLBACK_VOICE)
    if asked.lower() in VOICES:
        return VoiceChoice(asked.lower())
    return VoiceChoice(FALLBACK_VOICE, refused=asked[:MAX_NAME])


def _model(asked: str | None, default: str) -> str:
    # The name becomes part of an address and of rows; what cannot be a name is not a wish.
    return asked if asked and MODEL.fullmatch(asked) else default


def _conversation(asked: str | None) -> str | None:
    if not asked:
        return None
    try:
        canonical = str(uuid.UUID(asked))
    except ValueError:
        raise Refused(FORBIDDEN) from None
    if canonical != asked.lower():  # braces, urn: and missing hyphens are other names for it
        raise Refused(FORBIDDEN)
    return canonical

"""Admits one call of a caller who is known already, with what its door asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from relay.agents.agent import AgentDefaults, SessionRequest, choose_voice, grant_for
from relay.interfaces import Admission, ConnectRequest
from relay.realtime.dialects.client import ClientDialect, GaDialect
from relay.realtime.grant import Bounds, Caller, Grant
from relay.realtime.opening import granted_session_update


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What a door asks for in one call.

    `context` follows the agent's instructions, or stands in their place where it has none.
    `pace_ms` is how far ahead of playback sound may come; None: as it is made. `max_output_tokens`
    holds where the agent sets no tighter bound. Without `turn_detection` the client says where its
    turns end.
    """

    agent_id: str | None = None
    conversation_id: str | None = None
    context: str = ""
    voice: str | None = None
    pace_ms: int | None = None
    max_output_tokens: int | None = None
    turn_detection: Mapping[str, Any] | None = None


@dataclass(slots=True)
class CallDoor:
    """A `Door` for one call, whose client is code of a door without a Realtime socket."""

    name: str
    caller: Caller
    setup: CallSetup
    defaults: AgentDefaults
    transcription: dict[str, Any]

    def matches(self, request: ConnectRequest) -> bool:
        """No request of the WebSocket listener is for it."""
        return False

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        """GA events."""
        return GaDialect()

    async def authenticate(self, request: ConnectRequest) -> Caller:
        """The caller, who was authenticated before."""
        return self.caller

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        """Grant what the agent offers; raises `SessionRefused`."""
        setup = self.setup
        asked = SessionRequest(setup.agent_id, setup.conversation_id, relay_events=True)
        grant = _with_setup(await grant_for(caller, asked, self.defaults), setup)
        update = granted_session_update(grant, self.transcription)
        audio = update["session"]["audio"]
        audio["input"]["turn_detection"] = setup.turn_detection
        if setup.voice and "voice" not in audio.get("output", {}):
            audio["output"] = {"voice": choose_voice(setup.voice).voice}
        pace_ms = grant.bounds.pace_ms or setup.pace_ms
        return Admission(grant, self.dialect(request), update, first_shown=False, pace_ms=pace_ms)


def _with_setup(grant: Grant, setup: CallSetup) -> Grant:
    """The agent's grant with the door's context and bound."""
    texts = [text for text in (grant.instructions, setup.context) if text]
    return replace(
        grant,
        instructions="\n\n".join(texts) or None,
        bounds=_tighter(grant.bounds, setup.max_output_tokens),
    )


def _tighter(bounds: Bounds, tokens: int | None) -> Bounds:
    given = [limit for limit in (bounds.max_output_tokens, tokens) if limit is not None]
    return replace(bounds, max_output_tokens=min(given, default=None))

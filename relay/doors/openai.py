"""OpenAI door: Realtime clients, with GA events, or beta names for a client that asks for them."""

from typing import Any, Final

from relay.agents.agent import AgentDefaults, SessionRequest, grant_for
from relay.auth.tokens import RELAY_SUBPROTOCOL, Verifier, find_token
from relay.interfaces import Admission, ConnectRequest
from relay.realtime.dialects.client import BetaDialect, ClientDialect, GaDialect
from relay.realtime.endings import UNAUTHORIZED, UNKNOWN_PATH, UNSUPPORTED_INTENT, SessionRefused
from relay.realtime.grant import Caller
from relay.realtime.opening import openai_session_update

PATHS: Final = frozenset({"/v1/realtime", "/realtime", "/openai/v1/realtime"})
FAMILIES: Final = ("/v1/", "/openai/")
_BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"


class OpenAIDoor:
    """Answers at OpenAI's own paths, and refuses wrong paths beside them."""

    name = "openai"

    def __init__(
        self, verifier: Verifier, defaults: AgentDefaults, transcription: dict[str, Any]
    ) -> None:
        self._verifier = verifier
        self._defaults = defaults
        self._transcription = transcription

    def matches(self, request: ConnectRequest) -> bool:
        """Whether the path is OpenAI's, or near one."""
        plain = request.path.rstrip("/") or "/"
        return plain in PATHS or f"{plain}/".startswith(FAMILIES)

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        """Beta names for a client that asks by header or subprotocol, GA for all others."""
        header = request.headers.get("OpenAI-Beta", "")
        asks = "realtime=v1" in header or _BETA_SUBPROTOCOL in request.subprotocols
        return BetaDialect() if asks else GaDialect()

    async def authenticate(self, request: ConnectRequest) -> Caller:
        """Check path and token; raises `SessionRefused`."""
        if request.path.rstrip("/") not in PATHS:
            raise SessionRefused(UNKNOWN_PATH)
        if request.parameter("intent") is not None:
            raise SessionRefused(UNSUPPORTED_INTENT)
        token = find_token(request)
        if token is None:
            raise SessionRefused(UNAUTHORIZED)
        return await self._verifier.verify(token)

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        """Grant what the agent offers; raises `SessionRefused`."""
        grant = await grant_for(caller, _session_request(request), self._defaults)
        return Admission(
            grant=grant,
            dialect=self.dialect(request),
            first_update=openai_session_update(grant, self._transcription),
            first_shown=False,
            pace_ms=grant.bounds.pace_ms,
        )


def _session_request(request: ConnectRequest) -> SessionRequest:
    aware = request.parameter("relay") == "1" or RELAY_SUBPROTOCOL in request.subprotocols
    return SessionRequest(
        agent_id=request.parameter("agent_id"),
        conversation_id=request.parameter("conversation_id"),
        model=request.parameter("model"),
        relay_events=aware,
    )

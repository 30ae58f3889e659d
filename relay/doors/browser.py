"""Browser door: the addresses, refusals and extra events of the older voice relay (S3)."""

from typing import Any, Final

import structlog

from relay.agents.agent import AgentDefaults, SessionRequest, choose_voice, grant_for
from relay.auth.tokens import Verifier, find_token
from relay.interfaces import Admission, ConnectRequest
from relay.realtime.dialects.client import BrowserDialect, ClientDialect
from relay.realtime.endings import MISSING_PARAMETERS, UNAUTHORIZED, SessionRefused
from relay.realtime.grant import Caller
from relay.realtime.opening import browser_session_update

AFTER_PLAYBACK: Final = frozenset({"conversation.created", "response.done"})
"""Its client reconnects to the conversation on the first of these: the answer was heard by then."""

PACE_MS: Final = 500  # its clients cannot truncate: an interruption must find little to flush
log = structlog.get_logger(__name__)


class BrowserDoor:
    """Answers at every path that matches no other door (CONTRACTS §2.3)."""

    name = "browser"

    def __init__(
        self, verifier: Verifier, defaults: AgentDefaults, transcription: dict[str, Any]
    ) -> None:
        self._verifier = verifier
        self._defaults = defaults
        self._transcription = transcription

    def matches(self, request: ConnectRequest) -> bool:
        """Accept any path, as S3 did."""
        return True

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        """Beta names, and the shapes of the browser door's own events."""
        return BrowserDialect()

    async def authenticate(self, request: ConnectRequest) -> Caller:
        """Check the parameters, then the token, in S3's order; raises `SessionRefused`."""
        token, agent_id = find_token(request), request.parameter("agent_id")
        if not token or not agent_id:
            raise SessionRefused(MISSING_PARAMETERS)
        caller = await self._verifier.verify(token)
        if caller.session is not None:  # a client secret's settings have no place here
            raise SessionRefused(UNAUTHORIZED)
        return caller

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        """Grant what the agent offers; raises `SessionRefused`."""
        wanted = SessionRequest(
            agent_id=request.parameter("agent_id"),
            conversation_id=request.parameter("conversation_id"),
        )
        grant = await grant_for(caller, wanted, self._defaults)
        choice = choose_voice(request.parameter("voice"), grant.voice)
        if choice.refused is not None:
            log.warning("unknown voice", voice=choice.voice)
        return Admission(
            grant=grant,
            dialect=self.dialect(request),
            first_update=browser_session_update(grant, self._transcription, choice.voice),
            first_shown=True,
            truncates=True,
            pace_ms=grant.bounds.pace_ms or PACE_MS,
            after_playback=AFTER_PLAYBACK,
        )

"""The S3 door: the address, the order of refusals and the extras of the voice relay before us."""

from typing import Any, Final

import structlog

from relay.agents.agent import AgentDefaults, SessionRequest, choose_voice, grant_for
from relay.auth.tokens import Verifier
from relay.doors.tokens import find_token
from relay.interfaces import Admission
from relay.realtime.dialects.client import BrowserDialect, ClientDialect
from relay.realtime.endings import MISSING_PARAMETERS, SessionRefused
from relay.realtime.opening import s3_update
from relay.websocket.handshake import Handshake

PACE_MS: Final = 500  # S3's clients cannot truncate: an interruption must find little to flush
log = structlog.get_logger(__name__)


class S3Door:
    """Answers at every path that no other door wants (CONTRACTS §2.3)."""

    name = "s3"

    def __init__(
        self, verifier: Verifier, defaults: AgentDefaults, transcription: dict[str, Any]
    ) -> None:
        self._verifier = verifier
        self._defaults = defaults
        self._transcription = transcription

    def answers(self, path: str) -> bool:
        """Any path will do (S3 accepted any)."""
        return True

    def view(self, handshake: Handshake) -> ClientDialect:
        """Beta names and S3's own shapes."""
        return BrowserDialect()

    async def admit(self, handshake: Handshake) -> Admission:
        """In S3's order: parameters, then the token; raises Refused."""
        token, agent_id = find_token(handshake), handshake.parameter("agent_id")
        if not token or not agent_id:
            raise SessionRefused(MISSING_PARAMETERS)
        caller = await self._verifier.verify(token)
        asked = SessionRequest(
            agent_id=agent_id, conversation_id=handshake.parameter("conversation_id")
        )
        grant = await grant_for(caller, asked, self._defaults)
        choice = choose_voice(handshake.parameter("voice"), grant.voice)
        if choice.refused is not None:
            log.warning("unknown voice", voice=choice.voice)
        return Admission(
            grant=grant,
            view=self.view(handshake),
            first_update=s3_update(grant, self._transcription, choice.voice),
            first_shown=True,
            truncates=True,
            pace_ms=grant.bounds.pace_ms or PACE_MS,
        )

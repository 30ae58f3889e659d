"""OpenAI door: Realtime clients, with GA events, or beta names for a client that asks for them."""

import re
from typing import Any, Final

from relay.agents.agent import AgentDefaults, SessionRequest, grant_for
from relay.auth.tokens import RELAY_SUBPROTOCOL, Verifier, find_token
from relay.interfaces import Admission, ConnectRequest
from relay.realtime.dialects.client import (
    BetaDialect,
    ClientDialect,
    FirstBetaDialect,
    GaDialect,
)
from relay.realtime.endings import (
    UNAUTHORIZED,
    UNKNOWN_PATH,
    UNSUPPORTED_CALL,
    UNSUPPORTED_INTENT,
    SessionRefused,
)
from relay.realtime.events import Event
from relay.realtime.grant import Caller
from relay.realtime.opening import granted_session_update

AZURE_PATH: Final = "/openai/realtime"
"""Azure's older address; with a preview's `?api-version=` its events have beta names."""
PATHS: Final = frozenset({"/v1/realtime", "/realtime", "/openai/v1/realtime", AZURE_PATH})
FAMILIES: Final = ("/v1/", "/openai/")
CONVERSATION: Final = frozenset({"conversation", "", "None"})
"""`?intent=` of a session like any other; a Python proxy writes None where its client gave none."""
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
        path = _plain(request.path)
        return path in PATHS or f"{path}/".startswith(FAMILIES)

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        """Beta names for a client that asks for them in one of three ways, GA for all others.

        One that names a preview of 2024 sees the events of then alone.
        """
        header = request.headers.get("OpenAI-Beta", "")
        asks = "realtime=v1" in header or _BETA_SUBPROTOCOL in request.subprotocols
        if _is_preview(request):
            is_first = (request.parameter("api-version") or "").startswith("2024-")
            return FirstBetaDialect() if is_first else BetaDialect()
        return BetaDialect() if asks else GaDialect()

    async def authenticate(self, request: ConnectRequest) -> Caller:
        """Check address and token; raises `SessionRefused`."""
        if _plain(request.path) not in PATHS:
            raise SessionRefused(UNKNOWN_PATH)
        if request.parameter("call_id"):
            raise SessionRefused(UNSUPPORTED_CALL)
        if (request.parameter("intent") or "") not in CONVERSATION:
            raise SessionRefused(UNSUPPORTED_INTENT)
        token = find_token(request)
        if token is None:
            raise SessionRefused(UNAUTHORIZED)
        return await self._verifier.verify(token)

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        """Grant what the agent offers; raises `SessionRefused`."""
        grant = await grant_for(caller, _session_request(request, caller), self._defaults)
        return Admission(
            grant=grant,
            dialect=self.dialect(request),
            first_update=granted_session_update(grant, self._transcription),
            first_shown=False,
            pace_ms=grant.bounds.pace_ms,
            client_update=_client_update(caller),
        )


def _plain(path: str) -> str:
    """The path without what a base URL with a slash too many adds to it."""
    return re.sub("/{2,}", "/", path).rstrip("/") or "/"


def _is_preview(request: ConnectRequest) -> bool:
    """Whether the client uses one of Azure's previews."""
    version = request.parameter("api-version") or ""
    return _plain(request.path) == AZURE_PATH and version.endswith("-preview")


def _client_update(caller: Caller) -> Event | None:
    """The settings that a client secret is bound to, as a `session.update` of the client's."""
    bound = {name: value for name, value in (caller.session or {}).items() if name != "model"}
    if not bound.keys() - {"type"}:
        return None
    return {"type": "session.update", "session": {"type": "realtime", **bound}}


def _session_request(request: ConnectRequest, caller: Caller) -> SessionRequest:
    """What the address asks for; Azure's names a deployment, and a client secret its own model."""
    model = request.parameter("model") or request.parameter("deployment")
    bound = caller.session.get("model") if caller.session else None
    aware = request.parameter("relay") == "1" or RELAY_SUBPROTOCOL in request.subprotocols
    return SessionRequest(
        agent_id=request.parameter("agent_id"),
        conversation_id=request.parameter("conversation_id"),
        model=bound or model,
        relay_events=aware,
    )

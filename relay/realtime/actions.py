"""What the rules of a session ask its shell to do: orders, each in one sentence."""

from dataclasses import dataclass

from relay.realtime.endings import Ending
from relay.realtime.events import Frame
from relay.realtime.tools import ToolCall
from relay.realtime.utterance import Utterance


@dataclass(frozen=True, slots=True)
class ToEngine:
    """Send this frame up."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send this frame down."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Settled:
    """Record this utterance."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Flush:
    """The client is interrupted: sound that waits to be sent is dropped."""


@dataclass(frozen=True, slots=True)
class CallTool:
    """Carry out a server-side tool, then call `tool_result` with what it answered."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class CheckToken:
    """Verify the token with which the client means to go on, then call `renewed`."""

    token: str


@dataclass(frozen=True, slots=True)
class EngineRefused:
    """The engine said no before the session began; the code is safe to log, its message is not."""

    code: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask the client for a sign of life."""


@dataclass(frozen=True, slots=True)
class End:
    """The session is over."""

    ending: Ending


Action = ToEngine | ToClient | Flush | Settled | CallTool | CheckToken | EngineRefused | Ping | End

"""What the rules of a session ask its shell to do: orders, each in one sentence."""

from dataclasses import dataclass

from relay.realtime.billing.budget import Bill
from relay.realtime.billing.usage import Line
from relay.realtime.endings import Ending
from relay.realtime.events import Frame
from relay.realtime.records import Utterance
from relay.realtime.server_tools import ToolCall


@dataclass(frozen=True, slots=True)
class ToEngine:
    """Send this frame up."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send this frame down."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Sound:
    """Send down this frame of a coach's voice: so many milliseconds of an item."""

    frame: Frame
    item_id: str
    ms: int


@dataclass(frozen=True, slots=True)
class Dictate:
    """Have this PCM16 of a coach's turn written down; None: the turn is whole."""

    turn: int
    pcm: bytes | None


@dataclass(frozen=True, slots=True)
class Settled:
    """Record this utterance."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Used:
    """Record what one model used so far; `micro` is its cost in micro-dollars, None if unknown."""

    line: Line
    micro: int | None


@dataclass(frozen=True, slots=True)
class Settle:
    """Take the bill from the purse, then call `afforded` with how the session stands."""

    bill: Bill


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


Apart = Flush | Settle | CallTool | CheckToken | EngineRefused | Ping | End
Action = ToEngine | ToClient | Settled | Used | Sound | Dictate | Apart

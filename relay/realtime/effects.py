"""What the rules of a session ask its shell to do: orders, each in one sentence."""

from collections.abc import Callable
from dataclasses import dataclass, field

from relay.realtime.billing.budget import Charge
from relay.realtime.billing.usage import UsageLine
from relay.realtime.endings import Ending
from relay.realtime.events import Event, Frame
from relay.realtime.records import Utterance


@dataclass(frozen=True, slots=True)
class ToEngine:
    """Send this frame up."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send this frame down."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class PlayCoachAudio:
    """Send down this frame of a coach's voice: so many milliseconds of an item."""

    frame: Frame
    item_id: str
    ms: int


@dataclass(frozen=True, slots=True)
class TranscribeCoachAudio:
    """Have this PCM16 of a coach's turn written down; None: the turn is whole."""

    turn: int
    pcm: bytes | None


@dataclass(frozen=True, slots=True)
class RecordUtterance:
    """Record this utterance."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class RecordUsage:
    """Record what one model used so far; `micro` is its cost in micro-dollars, None if unknown."""

    line: UsageLine
    micro: int | None


@dataclass(frozen=True, slots=True)
class ChargeBudget:
    """Take the bill from the purse, then call `afforded` with how the session stands."""

    bill: Charge


@dataclass(frozen=True, slots=True)
class Flush:
    """The client is interrupted: sound that waits to be sent is dropped."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a server-side tool; `arguments` is the JSON that the model wrote, unchecked."""

    call_id: str
    item_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """Carry out a server-side tool, then call `tool_result` with what it answered."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class VerifyToken:
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


ControlEffect = Flush | ChargeBudget | CallTool | VerifyToken | EngineRefused | Ping | End
Effect = (
    ToEngine
    | ToClient
    | RecordUtterance
    | RecordUsage
    | PlayCoachAudio
    | TranscribeCoachAudio
    | ControlEffect
)


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """The answer of a rule to one event.

    `events` go on to the next rule, and from the last rule to the other side: usually the event
    itself, none where it ends here. `before` and `after` enclose the effects of all later rules.
    `replies` go to the side that the event came from, behind `after`.
    """

    events: list[Event] = field(default_factory=list)
    replies: list[Event] = field(default_factory=list)
    before: list[Effect] = field(default_factory=list)
    after: list[Effect] = field(default_factory=list)


Rule = Callable[[Event, float], RuleOutcome]
"""A rule's `from_client` or `from_engine`: takes an event and the time in Unix seconds."""

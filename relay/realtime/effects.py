"""Effects that the core asks its session to perform, and the answers of its rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.realtime.billing.budget import Charge
from relay.realtime.billing.usage import UsageLine
from relay.realtime.endings import Ending
from relay.realtime.events import Event, Frame
from relay.realtime.records import Record, Utterance
from relay.realtime.troubles import Trouble


@dataclass(frozen=True, slots=True)
class ToEngine:
    """Send a frame to the engine."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send a frame to the client."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class PlayCoachAudio:
    """Send the client a frame of a coach's audio: `ms` milliseconds of an item."""

    frame: Frame
    item_id: str
    ms: int


@dataclass(frozen=True, slots=True)
class TranscribeCoachAudio:
    """Transcribe PCM16 of a coach's turn; None ends the turn."""

    turn: int
    pcm: bytes | None


@dataclass(frozen=True, slots=True)
class RecordUtterance:
    """Record an utterance."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class CorrectEarlier:
    """Record what was said in an earlier session anew."""

    record: Record


@dataclass(frozen=True, slots=True)
class RecordUsage:
    """Record what one model used so far; `micro` is its cost in micro-dollars, None if unknown."""

    line: UsageLine
    micro: int | None


@dataclass(frozen=True, slots=True)
class ChargeBudget:
    """Charge the session's budgets, then call `on_balance`."""

    charge: Charge


@dataclass(frozen=True, slots=True)
class Flush:
    """Drop audio that waits to be sent to the client, who was interrupted; ask for `withdrawn`."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a server-side tool; `arguments` is the JSON that the model wrote, unchecked."""

    call_id: str
    item_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """Run a server-side tool, then call `tool_result` with its output."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class VerifyToken:
    """Verify the token with which the client asks to continue, then call `renew_token`."""

    token: str


@dataclass(frozen=True, slots=True)
class EngineRefused:
    """Report an engine's refusal before the session began; `code` is safe to log, no message is."""

    code: str


@dataclass(frozen=True, slots=True)
class EventRepaired:
    """Report an event that could only be read leniently; `sender` is "client" or "engine"."""

    sender: str


@dataclass(frozen=True, slots=True)
class ReportTrouble:
    """Log and count a failure at the provider."""

    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Ping:
    """Ping the client."""


@dataclass(frozen=True, slots=True)
class PingEngine:
    """Ping the engine, then call `engine_pinged`."""


@dataclass(frozen=True, slots=True)
class ListenForVoice:
    """Look for a voice in the next second of the client's audio; call `voice_heard` for one."""


@dataclass(frozen=True, slots=True)
class End:
    """End the session."""

    ending: Ending


EngineEffect = EngineRefused | EventRepaired | ReportTrouble | PingEngine | ListenForVoice
ControlEffect = Flush | ChargeBudget | CallTool | VerifyToken | Ping | End
Effect = (
    ToEngine
    | ToClient
    | RecordUtterance
    | RecordUsage
    | CorrectEarlier
    | PlayCoachAudio
    | TranscribeCoachAudio
    | EngineEffect
    | ControlEffect
)


@dataclass(slots=True)  # frozen ones take three times as long to make, and each event makes many
class RuleOutcome:
    """The answer of a rule to one event.

    `events` go on to the next rule, and from the last rule to the other side: usually the event
    itself, none where it ends here. `before` and `after` enclose the effects of all later rules.
    `replies` go to the side that the event came from, behind `after`.
    """

    events: Sequence[Event] = ()
    replies: Sequence[Event] = ()
    before: Sequence[Effect] = ()
    after: Sequence[Effect] = ()


Rule = Callable[[Event, float], RuleOutcome | None]
"""A rule's `from_client` or `from_engine`: takes an event and the time in Unix seconds.

None lets the event pass as it is."""

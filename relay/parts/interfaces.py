"""Protocols of the four parts of a cascade, and the values that they exchange.

A `SpeechDetector` finds turns, a `Transcriber` writes them down, a `Responder` decides what to
answer and a `Synthesizer` speaks it. `Parts` is a set of them.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

T = TypeVar("T")

SAMPLE_RATE = 24_000
"""Hz. All audio at the edges of a part is PCM16, little endian, mono, at this rate."""


PartKind = Literal["transcriber", "responder", "synthesizer", "decoder"]
"""What can fail: three parts of a cascade, whose speech detector is a rule, and `relay.audio`."""

FailureCode = Literal[
    "busy", "rate_limited", "timeout", "unauthorized", "rejected", "unavailable", "failed"
]
"""Why a part failed.

`busy`: its queue is full; `rate_limited`: its provider said so; `timeout`: it took too long;
`unauthorized`: its key is refused; `rejected`: its provider refused this request; `unavailable`: it
cannot be reached, is not installed or was closed; `failed`: anything else.
"""

TURN_WAIT_SECONDS = 10.0
"""Predicted wait above which a part refuses the work of a session's turn."""


class PartFailed(Exception):  # noqa: N818 - it is one turn's misfortune, not a fault of the caller
    """A part could not do this piece of work. The next may succeed.

    `detail` is for the operator's log: a status, a provider's error code, an exception's name. It
    never holds a key, nor what was said or was to be said.
    """

    def __init__(self, part: PartKind, code: FailureCode, detail: str = "") -> None:
        super().__init__(f"{part} {code}" + (f": {detail}" if detail else ""))
        self.part = part
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The speaker has begun; `at_ms` counts the audio received since the session began.

    It is where the voice itself begins, without the prefix that a client may have asked for.
    """

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The speaker has been silent for a moment, and may go on; `at_ms` is where the voice ended.

    Told at most once a pause. A detector that never tells it has its turns transcribed at their
    end only.
    """

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The speaker goes on after a `SpeechPaused`, in the same turn."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The speaker has been silent for long enough; `at_ms` is where the voice ended."""

    at_ms: int


SpeechEvent = SpeechStarted | SpeechPaused | SpeechResumed | SpeechStopped


class SpeechDetector(Protocol):
    """Finds turns in one session's audio; cheap enough for the event loop.

    `silence_ms` is how long a speaker must be silent before the turn is over (a client's
    `turn_detection.silence_duration_ms`); it may be set at any time, also within a pause. A
    detector that needs more silence than that uses the least it can.
    """

    silence_ms: int

    def detect(self, pcm: bytes) -> list[SpeechEvent]:
        """Take the next piece of audio, of any length; return what it made certain, in order.

        b"" asks what `silence_ms`, which may have changed, makes certain now.
        """

    def reset(self) -> None:
        """Forget an open turn (the client cleared its buffer); `at_ms` goes on counting."""


class Resource(Protocol):
    """Something that takes time to start and has to be released."""

    async def prepare(self) -> None:
        """Start and warm up what the first request would wait for; a failure shows there."""

    async def aclose(self) -> None:
        """Release processes, threads and connections; work under way fails or is cancelled."""


TakenOver = Callable[[str], None]
"""Told the name of the model that does the work where it is not the part's own, its `name`."""


@runtime_checkable
class Probed(Protocol):
    """A part that can be asked whether it would work now, at no cost."""

    async def probe(self) -> None:
        """Return if it would; raises `PartFailed` where it would not."""


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """One turn's audio: PCM16, mono, 24 kHz.

    `language` is an ISO 639-1 code or None, `prompt` words that are likely to occur; both are
    hints. A predicted wait of more than `max_wait` seconds is refused as `busy`. `taken_over` is
    told when another part than the one that was asked does the work.
    """

    pcm: bytes
    language: str | None = None
    prompt: str | None = None
    max_wait: float = TURN_WAIT_SECONDS
    taken_over: TakenOver | None = field(default=None, compare=False, repr=False)


class Transcriber(Resource, Protocol):
    """Writes down speech. One is shared by all sessions; it works off the event loop.

    `name` is the model's, for usage and metrics; `languages` are the codes of those it knows, ()
    where it knows any that a user may speak.
    """

    @property
    def name(self) -> str: ...

    @property
    def languages(self) -> Sequence[str]: ...

    def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        """Yield the words as they become certain; joined they are the transcript.

        Nothing, or "", when nothing was understood. Raises `PartFailed`. Cancelling the task that
        iterates stops the work.
        """


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said or typed; `audio` is PCM16 at 24 kHz where a user spoke it, else b""."""

    role: Literal["system", "user", "assistant"]
    text: str
    audio: bytes = b""


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A function call of an earlier answer; `arguments` are JSON."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallOutput:
    """What a function call returned."""

    call_id: str
    output: str


HistoryEntry = Message | MadeCall | CallOutput


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that the responder may call; `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """What a responder is asked to answer.

    `history` is the conversation as it was heard, oldest first, bounded by the engine; what it
    ends with is to be answered. `tool_choice` is as in the Realtime API. `max_tokens` None leaves
    the length to the responder, `temperature` (0 to 2) None how freely it chooses its words. A
    `model` that the responder has answers in the place of its own, and `taken_over` is told; one
    that it does not have counts as None. `out_of_band` responses join no conversation. `is_unsent`
    tells whether nothing of the answer has been sent to the user yet, so that it may still
    `StartOver`.
    """

    history: tuple[HistoryEntry, ...] = ()
    instructions: str = ""
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: str | Mapping[str, Any] = "auto"
    max_tokens: int | None = None
    temperature: float | None = None
    model: str | None = None
    out_of_band: bool = False
    max_wait: float = TURN_WAIT_SECONDS
    taken_over: TakenOver | None = field(default=None, compare=False, repr=False)
    is_unsent: Callable[[], bool] | None = field(default=None, compare=False, repr=False)

    @property
    def prompt(self) -> str:
        """Return the text of the last message of the user, or output of a function, else ""."""
        for entry in reversed(self.history):
            if isinstance(entry, CallOutput):
                return entry.output
            if isinstance(entry, Message) and entry.role == "user":
                return entry.text
        return ""


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """The next characters of the message that is being written."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of a model as its provider counted them; `cached` are among `input`."""

    input: int
    output: int
    cached: int = 0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            self.input + other.input, self.output + other.output, self.cached + other.cached
        )


@dataclass(frozen=True, slots=True)
class StartOver:
    """The answer broke off, and the model named `by` begins it anew: what came so far is void.

    `held_back` characters of it never came.
    """

    by: str
    held_back: int = 0


class Responder(Protocol):
    """Decides what to answer. One per session; what they share is a `Resource` of the `Parts`.

    `name` is the model's, for usage and metrics.
    """

    @property
    def name(self) -> str: ...

    def respond(self, request: ReplyRequest) -> "AsyncIterator[ReplyPiece]":
        """Yield the answer as it is written.

        Either text deltas (one message), function calls, usage and, where it is not `completed`,
        how it ended, in the order in which they come; or one whole `Reply`. One that has another
        take over may `StartOver` before that while `request.is_unsent`. Raises `PartFailed`.
        Cancelling the task that iterates stops the work.
        """


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """A text to speak in the voice that an OpenAI voice name, or the part's own, stands for.

    `speed` is 0.25 to 4, 1 as the voice was made; `model` one of the provider's, "" the part's own.
    A predicted wait of more than `max_wait` seconds is refused as `busy`.
    """

    text: str
    voice: str = ""
    speed: float = 1.0
    max_wait: float = TURN_WAIT_SECONDS
    model: str = ""
    taken_over: TakenOver | None = field(default=None, compare=False, repr=False)


class Synthesizer(Resource, Protocol):
    """Turns text into speech. One is shared by all sessions; it works off the event loop.

    `name` is the model's, for usage and metrics.
    """

    @property
    def name(self) -> str: ...

    def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        """Yield the speech as it is made: PCM16, mono, 24 kHz, whole samples.

        Nothing for a text without words. Raises `PartFailed`. Cancelling the task that iterates
        stops the work.
        """


McpServers = Mapping[str, Sequence[Mapping[str, Any]]]
"""The tools that MCP servers offer, by the servers' labels.

A tool has a `name`, and may have a `description` and an `input_schema`.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that an engine needs to listen and speak; `make_*` are called once per session.

    `servers` are the MCP servers that a session can ask for their tools; none is ever contacted.
    `resources` are what the responders share; they are prepared and closed with the rest. `billed`
    names the models, of any part, for which a provider charges; where there are any, usage is told
    by part. `instructions` are those of a session that is given none, "" for the engine's own.
    """

    make_speech_detector: Callable[[], SpeechDetector]
    transcriber: Transcriber
    make_responder: Callable[[], Responder]
    synthesizer: Synthesizer
    name: str
    servers: McpServers = field(default_factory=dict)
    resources: Sequence[Resource] = ()
    billed: frozenset[str] = frozenset()
    instructions: str = ""

    @property
    def everything(self) -> Sequence[Resource]:
        """Return all that has to be prepared and closed."""
        return (self.transcriber, self.synthesizer, *self.resources)

    async def aclose(self) -> None:
        """Release all parts."""
        for resource in self.everything:
            await resource.aclose()


@dataclass(frozen=True, slots=True)
class SpokenMessage:
    """A message to the user.

    `phase` is `commentary` or `final_answer` for models that tell (gpt-realtime-2.x); `pcm` is its
    audio where no synthesizer is needed.
    """

    text: str
    phase: str | None = None
    pcm: bytes | None = None


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function for the client to call; it answers with `function_call_output`.

    `arguments` are an object, or JSON as a model might write it.
    """

    name: str
    arguments: Mapping[str, Any] | str = "{}"


@dataclass(frozen=True, slots=True)
class McpCall:
    """A call to a tool of an MCP server, with its `output`, or `error` when it failed."""

    server_label: str
    name: str
    arguments: Mapping[str, Any] | str = "{}"
    output: str = ""
    error: str | None = None


Output = SpokenMessage | FunctionCall | McpCall

Interleaving = Literal["in_turn", "overlapping", "alternating"]
"""The order of the events of several outputs.

`in_turn`: each ends before the next begins. `overlapping`: the next one's deltas come before the
last one's end, as gpt-realtime-2.1 does it (WIRE §4.7). `alternating`: all of them at once.
"""


@dataclass(frozen=True, slots=True)
class ReplyEnding:
    """How a response ends: its `status` and its `status_details`."""

    status: str
    details: dict[str, Any] | None = None


IN_PROGRESS = ReplyEnding("in_progress")
COMPLETED = ReplyEnding("completed")


def failed(code: str, message: str, kind: str = "server_error") -> ReplyEnding:
    """Return the ending of a response that failed (PROTOCOL §4.10)."""
    fault = {"type": kind, "code": code, "message": message}
    return ReplyEnding("failed", {"type": "failed", "error": fault})


def incomplete(reason: str) -> ReplyEnding:
    """Return the ending of one that was cut: `max_output_tokens` or `content_filter`."""
    return ReplyEnding("incomplete", {"type": "incomplete", "reason": reason})


def cancelled(reason: str) -> ReplyEnding:
    """Return the ending of one that was stopped: `turn_detected` or `client_cancelled`."""
    return ReplyEnding("cancelled", {"type": "cancelled", "reason": reason})


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: its outputs, how their events interleave, and how it ends."""

    outputs: tuple[Output, ...]
    interleaving: Interleaving = "overlapping"
    ending: ReplyEnding = COMPLETED


ReplyPiece = ReplyDelta | FunctionCall | TokenUsage | ReplyEnding | Reply | StartOver
"""A piece of an answer, as a responder yields it."""


@dataclass(frozen=True, slots=True)
class ReplyOccasion:
    """When in a session a reply is given, counted from 1: as which response, after which turn."""

    response: int
    turn: int


Revise = Callable[[ReplyOccasion, Reply], Reply]
"""Changes a responder's reply before it is given."""


async def probe(part: object) -> None:
    """Ask a part whether it would work now; one that cannot be asked would. Raises `PartFailed`."""
    if isinstance(part, Probed):
        await part.probe()


def as_reply(answer: str | Reply) -> Reply:
    """Return a written answer as a `Reply`: plain text is one message."""
    return Reply((SpokenMessage(answer),)) if isinstance(answer, str) else answer


def as_json(arguments: Mapping[str, Any] | str) -> str:
    """Return the arguments of a call as JSON text."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def as_generator(pieces: AsyncIterator[T]) -> AsyncGenerator[T]:
    """Return what a part yields as what it is: a generator, whose closing stops the work."""
    return cast("AsyncGenerator[T]", pieces)

"""Protocols of the four parts of a cascade, and the values that they exchange.

A `SpeechDetector` finds turns, a `Transcriber` writes them down, a `Responder` decides what to
answer and a `Synthesizer` speaks it. `Parts` is a set of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

SAMPLE_RATE = 24_000
"""Hz. All audio at the edges of a part is PCM16, little endian, mono, at this rate."""


class PartFailed(Exception):  # noqa: N818 - it is one turn's misfortune, not a fault of the caller
    """A part could not do this piece of work: overloaded, broken or closed. The next may succeed.

    Its text never holds what was said or was to be said.
    """


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The speaker has begun; `at_ms` counts the audio received since the session began.

    It is where the voice itself begins, without the prefix that a client may have asked for.
    """

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The speaker has been silent for long enough; `at_ms` is where the voice ended."""

    at_ms: int


class SpeechDetector(Protocol):
    """Finds turns in one session's audio; cheap enough for the event loop.

    `silence_ms` is how long a speaker must be silent before the turn is over (a client's
    `turn_detection.silence_duration_ms`); it may be set at any time. A detector that needs more
    silence than that uses the least it can.
    """

    silence_ms: int

    def detect(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take the next piece of audio, of any length; return what it made certain, in order."""

    def reset(self) -> None:
        """Forget an open turn (the client cleared its buffer); `at_ms` goes on counting."""


class Transcriber(Protocol):
    """Writes down speech. One is shared by all sessions; it works off the event loop."""

    async def transcribe(self, pcm: bytes) -> str:
        """Return the words in one turn's audio, "" when nothing was understood.

        Raises `PartFailed` when it has too much to do, or cannot work at all.
        """

    async def aclose(self) -> None:
        """Release processes and threads."""


class Responder(Protocol):
    """Decides what to answer. One per session; it neither blocks nor awaits."""

    def reply(self, prompt: str) -> "str | Reply":
        """Return the answer to a transcript, to typed text, or to the output of a tool.

        A text is said as it stands; a `Reply` may call tools as well.
        """


@runtime_checkable
class AudioResponder(Protocol):
    """A responder that can also answer audio with audio, without a transcript in between."""

    def reply_audio(self, pcm: bytes) -> tuple[str, bytes]:
        """Return a transcript to show, and the audio, in answer to a turn's audio."""


@runtime_checkable
class OutOfBandResponder(Protocol):
    """A responder with answers of their own for responses that join no conversation."""

    def reply_out_of_band(self, prompt: str) -> "str | Reply":
        """Return the answer to a prompt as `Responder.reply` gets it."""


class Synthesizer(Protocol):
    """Turns text into speech. One is shared by all sessions; it works off the event loop."""

    async def synthesize(self, text: str, voice: str) -> bytes:
        """Return `text` as audio, in the voice that an OpenAI voice name stands for.

        Raises `PartFailed` when it has too much to do, or cannot work at all.
        """

    async def aclose(self) -> None:
        """Release threads."""


McpServers = Mapping[str, Sequence[Mapping[str, Any]]]
"""The tools that MCP servers offer, by the servers' labels.

A tool has a `name`, and may have a `description` and an `input_schema`.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that an engine needs to listen and speak; `make_*` are called once per session.

    `servers` are the MCP servers that a session can ask for their tools; none is ever contacted.
    """

    make_speech_detector: Callable[[], SpeechDetector]
    transcriber: Transcriber
    make_responder: Callable[[], Responder]
    synthesizer: Synthesizer
    name: str
    servers: McpServers = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class ReplyOccasion:
    """When in a session a reply is given, counted from 1: as which response, after which turn."""

    response: int
    turn: int


Revise = Callable[[ReplyOccasion, Reply], Reply]
"""Changes a responder's reply before it is given."""


def unchanged(_: ReplyOccasion, reply: Reply) -> Reply:
    """Return a reply as the responder gave it."""
    return reply


def as_reply(answer: str | Reply) -> Reply:
    """Return a responder's answer as a `Reply`: plain text is one message."""
    return Reply((SpokenMessage(answer),)) if isinstance(answer, str) else answer


def as_json(arguments: Mapping[str, Any] | str) -> str:
    """Return the arguments of a call as JSON text."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))

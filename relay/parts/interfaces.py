"""What the offline voice is made of: an ear, a recogniser, a brain and a mouth; types only."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

# ---- What a brain may answer: words, calls of tools, and how the answer ends.

Details = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SpokenMessage:
    """Something that is said.

    `phase` is `commentary` or `final_answer` where a model tells (gpt-realtime-2.x), `pcm` its
    sound where no mouth is needed.
    """

    text: str
    phase: str | None = None
    pcm: bytes | None = None


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function that the client shall call; it answers with `function_call_output`.

    `arguments` are an object, or JSON as a model might write it.
    """

    name: str
    arguments: Mapping[str, Any] | str = "{}"


@dataclass(frozen=True, slots=True)
class McpCall:
    """A tool of an MCP server that was called: what came of it, or `error` when it failed."""

    server_label: str
    name: str
    arguments: Mapping[str, Any] | str = "{}"
    output: str = ""
    error: str | None = None


Output = SpokenMessage | FunctionCall | McpCall

Weave = Literal["in_turn", "overlapping", "alternating"]
"""How the events of several outputs follow one another.

`in_turn`: each ends before the next begins. `overlapping`: the next one's deltas come before the
last one's end, as gpt-realtime-2.1 does it (WIRE §4.7). `alternating`: all of them at once.
"""


@dataclass(frozen=True, slots=True)
class ReplyEnding:
    """How a response ends: its `status` and its `status_details`."""

    status: str
    details: Details | None = None


IN_PROGRESS = ReplyEnding("in_progress")
COMPLETED = ReplyEnding("completed")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: what is put out, in which weave, and the ending after it."""

    outputs: tuple[Output, ...]
    weave: Weave = "overlapping"
    ending: ReplyEnding = COMPLETED


@dataclass(frozen=True, slots=True)
class ReplyOccasion:
    """When in a session a reply is given, counted from 1: as which response, after which turn."""

    response: int
    turn: int


Revise = Callable[[ReplyOccasion, Reply], Reply]
"""What becomes of a brain's reply before it is given."""


def as_it_is(_: ReplyOccasion, reply: Reply) -> Reply:
    """Leave a reply as the brain gave it."""
    return reply


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


def as_reply(answer: str | Reply) -> Reply:
    """Return a brain's answer as a reply: plain text is one message."""
    return Reply((SpokenMessage(answer),)) if isinstance(answer, str) else answer


def as_json(arguments: Mapping[str, Any] | str) -> str:
    """Return the arguments of a call as the JSON that travels."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


SAMPLE_RATE = 24_000
"""Hz. All audio at the edges of a part is PCM16, little endian, mono, at this rate."""


class PartFailed(Exception):  # noqa: N818 - it is one turn's misfortune, not a fault of the caller
    """A part could not do this piece of work: overloaded, broken or closed. The next may succeed.

    Its text never holds what was said or was to be said.
    """


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody began to speak; `at_ms` counts the audio heard since the session began.

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
    `turn_detection.silence_duration_ms`); it may be set at any time. An ear that cannot do so
    little takes the least it can.
    """

    silence_ms: int

    def hear(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take the next piece of audio, of any length; return what it made certain, in order."""

    def reset(self) -> None:
        """Forget an open turn (the client cleared its buffer); `at_ms` goes on counting."""


class Transcriber(Protocol):
    """Writes down what was said. One is shared by all sessions; it works off the event loop."""

    async def transcribe(self, pcm: bytes) -> str:
        """Return the words in one turn's audio, "" when nothing was understood.

        Raises `PartFailed` when it has too much to do, or cannot work at all.
        """

    async def aclose(self) -> None:
        """Let go of processes and threads."""


class Responder(Protocol):
    """Knows what to answer. One per session, pure."""

    def reply(self, heard: str) -> str | Reply:
        """Return the answer to what the recogniser heard, to what was typed, or to a tool's output.

        A text is said as it stands; a `Reply` may call tools as well.
        """


class Synthesizer(Protocol):
    """Speaks. One is shared by all sessions; it works off the event loop."""

    async def speak(self, text: str, voice: str) -> bytes:
        """Return `text` as audio, in the voice that an OpenAI voice name stands for.

        Raises `PartFailed` when it has too much to do, or cannot work at all.
        """

    async def aclose(self) -> None:
        """Let go of threads."""


Tool = Mapping[str, Any]
"""A tool of an MCP server: `name`, and where there are any `description` and `input_schema`."""

Servers = Mapping[str, Sequence[Tool]]
"""What MCP servers offer, by their labels."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that the engine needs to listen and speak; `make_*` are called once per session.

    `servers` are the MCP servers that can be asked for their tools; none is ever reached.
    """

    make_ear: Callable[[], SpeechDetector]
    recogniser: Transcriber
    make_brain: Callable[[], Responder]
    mouth: Synthesizer
    name: str
    servers: Servers = field(default_factory=dict)

"""Parts that say and understand what a script tells them: for tests and benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from relay.engines.offline.parts import Parts, Servers
from relay.engines.offline.replies import Message, Reply, as_reply
from relay.engines.offline.tones import LoudnessEar, ToneMouth


@dataclass(frozen=True, slots=True)
class Script:
    """What is understood and answered, in turn; the last of each is repeated for ever.

    `heard` are the recogniser's transcripts in the order in which turns reach it (one recogniser
    serves all sessions), `replies` each session's answers: a text, or a `Reply` that may call
    functions and MCP tools. `{heard}` in what is said stands for what was heard or typed, or for
    what the tool gave back. `asides` are what responses out of band say, `replies` where there are
    none; `servers` what MCP servers offer.
    """

    heard: Sequence[str] = ("Hello there.",)
    replies: Sequence[str | Reply] = ("You said: {heard}",)
    asides: Sequence[str | Reply] = ()
    servers: Servers = field(default_factory=dict)


def scripted_parts(script: Script | None = None) -> Parts:
    """Return deterministic parts: an ear for loudness, scripted words, and a tone for a voice."""
    told = script or Script()
    return Parts(
        make_ear=LoudnessEar,
        recogniser=ScriptedRecogniser(told.heard),
        make_brain=lambda: ScriptedBrain(told.replies, told.asides),
        mouth=ToneMouth(),
        name="scripted",
        servers=told.servers,
    )


class ScriptedRecogniser:
    """Understands what the script says, whatever it is given."""

    def __init__(self, heard: Sequence[str]) -> None:
        self._heard = heard
        self._next = 0

    async def transcribe(self, pcm: bytes) -> str:
        """Return the next transcript."""
        text = self._heard[min(self._next, len(self._heard) - 1)]
        self._next += 1
        return text

    async def aclose(self) -> None:
        """Let go of nothing."""


class ScriptedBrain:
    """Answers what the script says; an `answering.Whisperer`."""

    def __init__(self, replies: Sequence[str | Reply], asides: Sequence[str | Reply] = ()) -> None:
        self._replies = _Lines(replies)
        self._asides = _Lines(asides) if asides else self._replies

    def reply(self, heard: str) -> Reply:
        """Return the next answer."""
        return self._replies.next(heard)

    def aside(self, heard: str) -> Reply:
        """Return the next answer out of band."""
        return self._asides.next(heard)


class _Lines:
    """The lines of one part, in turn; the last for ever."""

    def __init__(self, lines: Sequence[str | Reply]) -> None:
        self._lines = lines
        self._next = 0

    def next(self, heard: str) -> Reply:
        reply = as_reply(self._lines[min(self._next, len(self._lines) - 1)])
        self._next += 1
        return replace(
            reply,
            outputs=tuple(
                replace(output, text=output.text.replace("{heard}", heard))
                if isinstance(output, Message)
                else output
                for output in reply.outputs
            ),
        )

"""The voice that gives people their own words back; it needs no packages and understands nothing.

What was spoken comes back as it was spoken, and is shown as `[echo of 2.4 s]`, since nobody wrote
it down. What was typed comes back as text, or as a tone where an answer in audio was asked for.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from relay.parts.interfaces import (
    SAMPLE_RATE,
    Parts,
    Reply,
    Servers,
    SpeechStarted,
    SpeechStopped,
    SpokenMessage,
    as_reply,
)

# ---- Sounds and an ear in plain Python, for the voices that need no packages.

MS_PER_CHARACTER = 60
"""How long a tone lasts for each character of the text that it stands for: about as speech does."""

LOUD = 500
"""The peak (of 32767) above which a frame counts as a voice: a quiet room is below it."""

LEAST_VOICE_MS = 60
"""A sound must last that long to begin a turn."""

_FRAME_MS = 20
_FRAME_BYTES = SAMPLE_RATE * 2 * _FRAME_MS // 1000
_EVERY = 4  # only every fourth sample is looked at: the peak of a voice shows there too
_HERTZ = 440.0
_AMPLITUDE = 6000


def tone(ms: int, hertz: float = _HERTZ) -> bytes:
    """Return a tone as PCM16, 24 kHz."""
    period = round(SAMPLE_RATE / hertz)
    turn = 2 * math.pi / period
    wave = array("h", (round(_AMPLITUDE * math.sin(i * turn)) for i in range(period)))
    count = SAMPLE_RATE * ms // 1000
    return (wave * (count // period + 1))[:count].tobytes()


def silence(ms: int) -> bytes:
    """Return silence as PCM16, 24 kHz."""
    return bytes(SAMPLE_RATE * ms // 1000 * 2)


class ToneSynthesizer:
    """A mouth whose voice is a tone that lasts as long as the text would take to say."""

    async def speak(self, text: str, voice: str) -> bytes:
        """Return the tone for `text`; all voices sound alike."""
        return tone(len(text) * MS_PER_CHARACTER)

    async def aclose(self) -> None:
        """Let go of nothing."""


class LoudnessDetector:
    """An ear that takes loud for speech: right for tones and quiet rooms, and for little else."""

    def __init__(self) -> None:
        self.silence_ms = 500
        self._rest = b""
        self._heard_ms = 0
        self._voice_ms = 0
        self._quiet_ms = 0
        self._speaking = False

    def hear(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take the next piece of audio; return what it made certain."""
        audio = self._rest + pcm
        whole = len(audio) // _FRAME_BYTES * _FRAME_BYTES
        self._rest = audio[whole:]
        samples = memoryview(audio)[:whole].cast("h")
        size = _FRAME_BYTES // 2
        happened: list[SpeechStarted | SpeechStopped] = []
        for start in range(0, whole // 2, size):
            happened += self._frame(max(samples[start : start + size : _EVERY]) > LOUD)
        return happened

    def reset(self) -> None:
        """Forget an open turn."""
        self._speaking = False
        self._voice_ms = self._quiet_ms = 0

    def _frame(self, loud: bool) -> list[SpeechStarted | SpeechStopped]:
        self._heard_ms += _FRAME_MS
        self._voice_ms = self._voice_ms + _FRAME_MS if loud else 0
        self._quiet_ms = 0 if loud else self._quiet_ms + _FRAME_MS
        if not self._speaking and self._voice_ms >= LEAST_VOICE_MS:
            self._speaking = True
            return [SpeechStarted(self._heard_ms - self._voice_ms)]
        if self._speaking and self._quiet_ms >= max(self.silence_ms, _FRAME_MS):
            self._speaking = False
            return [SpeechStopped(self._heard_ms - self._quiet_ms)]
        return []


def echo_parts() -> Parts:
    """Return the parts of the echo."""
    return Parts(
        make_ear=LoudnessDetector,
        recogniser=EchoTranscriber(),
        make_brain=EchoResponder,
        mouth=ToneSynthesizer(),
        name="echo",
    )


class EchoTranscriber:
    """Understands nothing, and says so."""

    async def transcribe(self, pcm: bytes) -> str:
        """Return ""."""
        return ""

    async def aclose(self) -> None:
        """Let go of nothing."""


class EchoResponder:
    """Gives back what it got; an `answering.Parrot`."""

    def reply(self, heard: str) -> str:
        """Return the text that was typed."""
        return heard

    def answer(self, pcm: bytes) -> tuple[str, bytes]:
        """Return the audio of a turn, and a transcript that says what it is."""
        return f"[echo of {len(pcm) / 2 / SAMPLE_RATE:.1f} s]", pcm


# ---- Parts that say and understand what a script tells them: for tests and benchmarks.


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
        make_ear=LoudnessDetector,
        recogniser=ScriptedTranscriber(told.heard),
        make_brain=lambda: ScriptedResponder(told.replies, told.asides),
        mouth=ToneSynthesizer(),
        name="scripted",
        servers=told.servers,
    )


class ScriptedTranscriber:
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


class ScriptedResponder:
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
                if isinstance(output, SpokenMessage)
                else output
                for output in reply.outputs
            ),
        )

"""Parts in plain Python that need no packages: the echo voice, and parts that follow a script.

The echo gives people their own words back and understands nothing. What was spoken comes back as it
was spoken, with `[echo of 2.4 s]` as its transcript. What was typed comes back as text, or as a
tone where an answer in audio was asked for. The scripted parts are for the simulator, for tests and
for benchmarks.
"""

import math
from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from relay.parts.interfaces import (
    SAMPLE_RATE,
    McpServers,
    Message,
    Parts,
    Reply,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    SpeechEvent,
    SpeechStarted,
    SpeechStopped,
    SpokenMessage,
    SynthesisRequest,
    TranscriptionRequest,
    as_reply,
)

MS_PER_CHARACTER = 60
"""Milliseconds of tone for each character of text: about as long as speech takes."""

LOUD = 500
"""The peak (of 32767) above which a frame counts as a voice: a quiet room is below it."""

LEAST_VOICE_MS = 60
"""Shorter sounds begin no turn."""

_FRAME_MS = 20
_FRAME_BYTES = SAMPLE_RATE * 2 * _FRAME_MS // 1000
_EVERY = 4  # only every fourth sample is looked at: the peak of a voice shows there too
_HERTZ = 440.0
_AMPLITUDE = 6000


def echo_parts() -> Parts:
    """Return the parts of the echo."""
    return Parts(
        make_speech_detector=LoudnessDetector,
        transcriber=EchoTranscriber(),
        make_responder=EchoResponder,
        synthesizer=ToneSynthesizer(),
        name="echo",
    )


class EchoTranscriber:
    """Understands nothing."""

    name = "echo"
    languages = ()

    async def prepare(self) -> None:
        """Do nothing: there is nothing to start."""

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        """Yield ""."""
        yield ""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""


class EchoResponder:
    """Answers typed text with itself, and audio with itself."""

    name = "echo"

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        """Yield what was typed, or the audio of a turn and a transcript that says what it is."""
        last = request.history[-1] if request.history else None
        if isinstance(last, Message) and last.audio:
            text = f"[echo of {len(last.audio) / 2 / SAMPLE_RATE:.1f} s]"
            yield Reply((SpokenMessage(text, pcm=last.audio),))
        else:
            yield ReplyDelta(request.prompt)


@dataclass(frozen=True, slots=True)
class Script:
    """What is understood and answered, in turn; the last entry of each repeats for ever.

    `heard` are the transcripts in the order in which turns reach the transcriber (one serves all
    sessions), `replies` each session's answers: a text, or a `Reply` that may call functions and
    MCP tools. `{heard}` in a message stands for the transcript, the typed text or the output of the
    tool that is answered. `asides` answer responses out of band (`replies` where there are none);
    `servers` are the MCP servers and their tools.
    """

    heard: Sequence[str] = ("Hello there.",)
    replies: Sequence[str | Reply] = ("You said: {heard}",)
    asides: Sequence[str | Reply] = ()
    servers: McpServers = field(default_factory=dict)


def scripted_parts(script: Script | None = None) -> Parts:
    """Return deterministic parts: loudness for speech, scripted words, and a tone for a voice."""
    followed = script or Script()
    return Parts(
        make_speech_detector=LoudnessDetector,
        transcriber=ScriptedTranscriber(followed.heard),
        make_responder=lambda: ScriptedResponder(followed.replies, followed.asides),
        synthesizer=ToneSynthesizer(),
        name="scripted",
        servers=followed.servers,
    )


class ScriptedTranscriber:
    """Understands what the script says, whatever audio it is given."""

    name = "script"
    languages = ()

    def __init__(self, heard: Sequence[str]) -> None:
        self._heard = heard
        self._next = 0

    async def prepare(self) -> None:
        """Do nothing: there is nothing to start."""

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        """Yield the next transcript."""
        text = self._heard[min(self._next, len(self._heard) - 1)]
        self._next += 1
        yield text

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""


class ScriptedResponder:
    """Answers what the script says, out of band too."""

    name = "script"

    def __init__(self, replies: Sequence[str | Reply], asides: Sequence[str | Reply] = ()) -> None:
        self._replies = _Lines(replies)
        self._asides = _Lines(asides) if asides else self._replies

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        """Yield the next answer."""
        lines = self._asides if request.out_of_band else self._replies
        yield lines.next(request.prompt)


class _Lines:
    """The replies of a script, in turn; the last one repeats."""

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


class LoudnessDetector:
    """Takes any loud sound for speech: right for tones and quiet rooms, and for little else."""

    def __init__(self) -> None:
        self.silence_ms = 500
        self._rest = b""
        self._heard_ms = 0
        self._voice_ms = 0
        self._quiet_ms = 0
        self._speaking = False

    def detect(self, pcm: bytes) -> list[SpeechEvent]:
        """Take the next piece of audio; return what it made certain."""
        audio = self._rest + pcm
        whole = len(audio) // _FRAME_BYTES * _FRAME_BYTES
        self._rest = audio[whole:]
        samples = memoryview(audio)[:whole].cast("h")
        size = _FRAME_BYTES // 2
        happened: list[SpeechEvent] = []
        for start in range(0, whole // 2, size):
            happened += self._detect_frame(max(samples[start : start + size : _EVERY]) > LOUD)
        return happened

    def reset(self) -> None:
        """Forget an open turn."""
        self._speaking = False
        self._voice_ms = self._quiet_ms = 0

    def _detect_frame(self, loud: bool) -> list[SpeechEvent]:
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


class ToneSynthesizer:
    """Speaks a tone that lasts about as long as the text would take to say."""

    name = "tone"

    async def prepare(self) -> None:
        """Do nothing: there is nothing to start."""

    async def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        """Yield the tone for the text; all voices sound alike."""
        yield tone(len(request.text) * MS_PER_CHARACTER)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""


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

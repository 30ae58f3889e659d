"""Has each part of a cascade do a small piece of real work, and says how fast it was."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from relay.check.engine import INSTRUCTIONS, TEXT_QUESTION, VOICE_QUESTION
from relay.check.runner import CheckResult, fail, ok
from relay.parts.interfaces import (
    SAMPLE_RATE,
    FailureCode,
    Message,
    PartFailed,
    PartKind,
    Reply,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    Resource,
    Responder,
    SpeechDetector,
    SpeechStarted,
    SpeechStopped,
    SpokenMessage,
    SynthesisRequest,
    Synthesizer,
    Transcriber,
    TranscriptionRequest,
)
from relay.parts.measuring import Outcome, measured

SECOND_BYTES: Final = SAMPLE_RATE * 2
"""Of PCM16."""
FRAME_BYTES: Final = SECOND_BYTES // 50
"""As sound comes from a client: 20 ms."""
ANSWER_TOKENS: Final = 200
"""What a model may write to answer a short question; one that thinks before it answers needs most
of them."""
START_SECONDS: Final = 25.0
"""To load a model; one that is fetched from a hub first takes minutes."""
MAX_WAIT: Final = 20.0
"""Seconds in a part's queue; the check itself ends after `runner.MAX_SECONDS`."""


@dataclass(frozen=True, slots=True)
class PartRemedies:
    """What to do about a part's key, about its address or its installation, and about its model.

    `on_processor` is said of one that works, and computes on the processor; "" where it may.
    """

    unauthorized: str
    unavailable: str
    rejected: str
    on_processor: str = ""

    def for_failure(self, code: FailureCode) -> str:
        """Return what to do when it failed with this code."""
        advice: Mapping[FailureCode, str] = {
            "unauthorized": self.unauthorized,
            "unavailable": self.unavailable,
            "rejected": self.rejected,
            "busy": "it has more to do than it can: wait, or give it a faster machine",
            "rate_limited": "the provider limits this key: wait, or raise the limit there",
            "timeout": f"it is overloaded, or slow to reach; {self.unavailable}",
            "failed": f"it does not work as it should; {self.rejected}",
        }
        return advice[code]


class PartTimes:
    """A `PartObserver` that keeps what it is told of each part.

    `first` are the seconds from the first request of a part that was answered to the first piece of
    the result, `whole` those of its last request that ended well, and `answered_at` the loop's time
    of that first piece.
    """

    def __init__(self) -> None:
        self.first: dict[PartKind, float] = {}
        self.whole: dict[PartKind, float] = {}
        self.answered_at: dict[PartKind, float] = {}

    def part_started(self, part: PartKind) -> None:
        """Ignore it."""

    def part_answered(self, part: PartKind, model: str, seconds: float) -> None:
        """Keep the first."""
        self.first.setdefault(part, seconds)
        self.answered_at.setdefault(part, asyncio.get_running_loop().time())

    def part_ended(self, part: PartKind, model: str, seconds: float, outcome: Outcome) -> None:
        """Keep the last that ended well."""
        if outcome == "ok":
            self.whole[part] = seconds


@dataclass(frozen=True, slots=True)
class _Trial:
    """The pieces of a result; `seconds` to start the part, to the first of them, and to the end."""

    pieces: tuple[Any, ...]
    seconds: Mapping[str, float]


class PartsCheck:
    """Checks the parts of one cascade, one at a time; each is closed after its check.

    What the first synthesizer says is what the others listen to; where none has spoken, what
    `speak` returns: the question as PCM16, or b"" where nothing here can say it. They are then
    given a silence, which shows how fast they are, but not that they understand.
    """

    def __init__(self, speak: Callable[[], Awaitable[bytes]]) -> None:
        self._speak = speak
        self._speech: bytes | None = None

    async def synthesizer(self, part: Synthesizer, remedies: PartRemedies) -> CheckResult:
        """Have the question spoken."""

        def begin() -> AsyncIterator[bytes]:
            return part.synthesize(SynthesisRequest(VOICE_QUESTION, max_wait=MAX_WAIT))

        trial = await _try("synthesizer", part.name, [part], begin, remedies)
        if isinstance(trial, CheckResult):
            return trial
        speech = b"".join(trial.pieces)
        if not any(speech):
            return fail(f"{part.name}: no sound came of a sentence", remedies.rejected)
        self._speech = self._speech or speech
        spoken = f"{len(speech) / SECOND_BYTES:.1f} s of speech"
        return _told(part.name, trial, f"{spoken}; first sound")

    async def _listen(self) -> bytes:
        if self._speech is None:
            self._speech = await self._speak()
        return self._speech

    async def speech_detector(self, make: Callable[[], SpeechDetector]) -> CheckResult:
        """Have the question found between two silences."""
        speech = await self._listen()
        sound = bytes(SECOND_BYTES // 2) + speech + bytes(SECOND_BYTES)
        detector = make()
        loop = asyncio.get_running_loop()
        began = loop.time()
        frames = (sound[at : at + FRAME_BYTES] for at in range(0, len(sound), FRAME_BYTES))
        events = [event for frame in frames for event in detector.detect(frame)]
        took = (loop.time() - began) / (len(sound) / FRAME_BYTES)
        heard = {type(event) for event in events}
        if speech and not heard >= {SpeechStarted, SpeechStopped}:
            return fail(
                "no turn was found in a spoken sentence", "try another TTS_VOICE to check it"
            )
        what = "finds a spoken sentence" if speech else "works (there was no speech to find)"
        result = ok(f"{what}: {took * 1000:.1f} ms of work for 20 ms of sound")
        return replace(result, seconds={"each 20 ms": round(took, 5)})

    async def transcriber(
        self, part: Transcriber, remedies: PartRemedies, language: str | None = None
    ) -> CheckResult:
        """Have the spoken question written down; `language` is the one that users speak."""
        speech = await self._listen()

        def begin() -> AsyncIterator[str]:
            sound = speech or bytes(SECOND_BYTES)
            return part.transcribe(TranscriptionRequest(sound, max_wait=MAX_WAIT))

        trial = await _try("transcriber", part.name, [part], begin, remedies)
        if isinstance(trial, CheckResult):
            return trial
        heard = "".join(trial.pieces).strip()
        if speech and not heard:
            what = f"{part.name}: nothing was understood of a spoken sentence"
            return fail(what, remedies.rejected)
        code = (language or "").split("-")[0].lower()
        if code and part.languages and code not in part.languages:
            what = f"{part.name} does not know the language {language}"
            return fail(what, "set STT_MODEL to one that does, like small, or change STT_LANGUAGE")
        understood = f"heard \u201c{heard}\u201d" if heard else "there was no speech to hear"
        found = _told(part.name, trial, f"{understood}; first words", _device(part))
        return replace(found, hint=_device_hint(remedies, part))

    async def responder(
        self,
        make: Callable[[], Responder],
        resources: Sequence[Resource],
        remedies: PartRemedies,
    ) -> CheckResult:
        """Have a short typed question answered."""
        part = make()
        asked = ReplyRequest(
            history=(Message("user", TEXT_QUESTION),),
            instructions=INSTRUCTIONS,
            max_tokens=ANSWER_TOKENS,
            max_wait=MAX_WAIT,
        )

        def begin() -> AsyncIterator[ReplyPiece]:
            return part.respond(asked)

        trial = await _try("responder", part.name, resources, begin, remedies)
        if isinstance(trial, CheckResult):
            return trial
        answer = "".join(map(_text, trial.pieces))
        if not answer.strip():
            return fail(f"{part.name}: an empty answer to a short question", remedies.rejected)
        written = f"answered with {len(answer)} characters"
        found = _told(part.name, trial, f"{written}; first words", _device(*resources))
        return replace(found, hint=_device_hint(remedies, *resources))


async def _try(
    part: PartKind,
    name: str,
    resources: Sequence[Resource],
    begin: Callable[[], AsyncIterator[Any]],
    remedies: PartRemedies,
) -> _Trial | CheckResult:
    """Start a part, have it do its work, close it; a failure is a result."""
    times, loop = PartTimes(), asyncio.get_running_loop()
    try:
        async with AsyncExitStack() as closing:
            for resource in resources:
                closing.push_async_callback(resource.aclose)
            began = loop.time()
            async with asyncio.timeout(START_SECONDS):
                for resource in resources:
                    await resource.prepare()
            loaded = loop.time() - began
            pieces = tuple([piece async for piece in measured(begin(), part, name, times)])
    except PartFailed as failure:
        detail = f": {failure.detail}" if failure.detail else ""
        return fail(f"{name}: {failure.code}{detail}", remedies.for_failure(failure.code))
    except TimeoutError:
        what = f"{name}: not started after {START_SECONDS:.0f} s"
        return fail(what, "a model that is fetched for the first time takes minutes: try again")
    except (ImportError, OSError) as missing:
        return fail(f"{name}: {type(missing).__name__}", remedies.unavailable)
    whole = times.whole[part]
    seconds = {"start": loaded, "first": times.first.get(part, whole), "all": whole}
    return _Trial(pieces, {key: round(value, 3) for key, value in seconds.items()})


def _told(name: str, trial: _Trial, made: str, device: str = "") -> CheckResult:
    """Return the result of a part that works; `made` is what came of it, and what came first."""
    place = f" on {device}" if device else ""
    seconds = trial.seconds
    times = f"after {seconds['first']:.2f} s, all after {seconds['all']:.2f} s"
    started = f", started in {seconds['start']:.1f} s"
    return replace(ok(f"{name}{place}: {made} {times}{started}"), seconds=seconds)


def _text(piece: ReplyPiece) -> str:
    if isinstance(piece, Reply):
        return "".join(one.text for one in piece.outputs if isinstance(one, SpokenMessage))
    return piece.text if isinstance(piece, ReplyDelta) else ""


def _device(*resources: Resource) -> str:
    """Return where a local model computes, "" for those that do not say."""
    devices = (getattr(resource, "device", "") for resource in resources)
    return next(filter(None, devices), "")


def _device_hint(remedies: PartRemedies, *resources: Resource) -> str:
    return remedies.on_processor if _device(*resources) == "cpu" else ""

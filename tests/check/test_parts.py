"""Each part of a cascade at a small piece of real work, and what is said of those that fail."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.check.engine import TEXT_QUESTION, VOICE_QUESTION
from relay.check.parts import SECOND_BYTES, PartRemedies, PartsCheck, PartTimes
from relay.check.runner import CheckResult
from relay.parts.interfaces import (
    FailureCode,
    FunctionCall,
    PartFailed,
    Parts,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    SynthesisRequest,
    TranscriptionRequest,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from relay.parts.openai_stt import OpenAITranscriber
from relay.parts.openai_tts import OpenAISynthesizer
from relay.parts.simple import Script, ToneSynthesizer, scripted_parts, tone
from tests.components import needs
from tests.parts.doubles.double import Fault
from tests.parts.doubles.openai_api import KEY, Answer, openai_api

REMEDIES = PartRemedies("see THE_KEY", "see THE_ADDRESS", "see THE_MODEL", "no card was found")
CODES: Sequence[tuple[FailureCode, str]] = (
    ("unauthorized", "see THE_KEY"),
    ("unavailable", "see THE_ADDRESS"),
    ("rejected", "see THE_MODEL"),
    ("busy", "it has more to do than it can: wait, or give it a faster machine"),
    ("rate_limited", "the provider limits this key: wait, or raise the limit there"),
    ("timeout", "it is overloaded, or slow to reach; see THE_ADDRESS"),
    ("failed", "it does not work as it should; see THE_MODEL"),
)


async def nothing() -> bytes:
    return b""


async def a_tone() -> bytes:
    return tone(1500)


@dataclass
class Fake:
    """A part of any kind that yields `pieces`, or fails; `calls` are what was done with it."""

    pieces: Sequence[Any] = ()
    failure: Exception | None = None
    unready: Exception | None = None
    device: str = ""
    languages: tuple[str, ...] = ()
    name: str = "fake"
    calls: list[Any] = field(default_factory=list)

    async def prepare(self) -> None:
        self.calls.append("prepare")
        if self.unready is not None:
            raise self.unready

    async def aclose(self) -> None:
        self.calls.append("close")

    async def work(self, request: Any) -> AsyncIterator[Any]:
        self.calls.append(request)
        for piece in self.pieces:
            yield piece
        if self.failure is not None:
            raise self.failure

    transcribe = respond = synthesize = work


Checked = Callable[[Fake], Any]


async def synthesizer(part: Fake) -> CheckResult:
    return await PartsCheck(nothing).synthesizer(part, REMEDIES)


async def transcriber(part: Fake) -> CheckResult:
    return await PartsCheck(a_tone).transcriber(part, REMEDIES)


async def responder(part: Fake) -> CheckResult:
    return await PartsCheck(nothing).responder(lambda: part, [part], REMEDIES)


KINDS = pytest.mark.parametrize("checked", [synthesizer, transcriber, responder])


async def all_of(parts: Parts, check: PartsCheck) -> list[CheckResult]:
    return [
        await check.synthesizer(parts.synthesizer, REMEDIES),
        await check.speech_detector(parts.make_speech_detector),
        await check.transcriber(parts.transcriber, REMEDIES),
        await check.responder(parts.make_responder, parts.resources, REMEDIES),
    ]


async def test_parts_that_work_are_told_with_their_times() -> None:
    parts = scripted_parts(Script(heard=[VOICE_QUESTION], replies=["Rome."]))
    spoken, found, heard, answered = await all_of(parts, PartsCheck(nothing))

    assert {result.state for result in (spoken, found, heard, answered)} == {"ok"}
    assert spoken.what.startswith("tone: 1.8 s of speech; first sound after 0.")
    assert found.what.startswith("finds a spoken sentence: ")
    assert heard.what.startswith(
        f"script: heard \u201c{VOICE_QUESTION}\u201d; first words after 0."
    )
    assert answered.what.startswith("script: answered with 5 characters; first words after 0.")
    for result in (spoken, heard, answered):
        assert set(result.seconds) == {"start", "first", "all"}
        assert 0 <= result.seconds["first"] <= result.seconds["all"] < 10


@KINDS
async def test_a_part_is_started_asked_once_and_closed(checked: Checked) -> None:
    part = Fake(pieces=[ReplyDelta("Yes.")] if checked is responder else ["Yes."])
    if checked is synthesizer:
        part.pieces = [tone(100)]
    assert (await checked(part)).state == "ok"
    before, request, after = part.calls

    assert (before, after) == ("prepare", "close")
    if checked is synthesizer:
        assert isinstance(request, SynthesisRequest)
        assert request.text == VOICE_QUESTION
    elif checked is transcriber:
        assert isinstance(request, TranscriptionRequest)
        assert request.pcm == tone(1500)
    else:
        assert isinstance(request, ReplyRequest)
        assert (request.prompt, request.max_tokens) == (TEXT_QUESTION, 200)


@KINDS
@pytest.mark.parametrize(("code", "hint"), CODES)
async def test_a_failure_says_what_to_do(checked: Checked, code: FailureCode, hint: str) -> None:
    part = Fake(failure=PartFailed("responder", code, "503"))
    result = await checked(part)

    assert (result.state, result.what, result.hint) == ("fail", f"fake: {code}: 503", hint)
    assert part.calls[-1] == "close"


@KINDS
@pytest.mark.parametrize(
    ("unready", "what"),
    [
        (PartFailed("synthesizer", "unavailable"), "fake: unavailable"),
        (ModuleNotFoundError("no piper"), "fake: ModuleNotFoundError"),
        (FileNotFoundError("no model"), "fake: FileNotFoundError"),
    ],
)
async def test_one_that_does_not_start_is_not_installed_or_not_there(
    checked: Checked, unready: Exception, what: str
) -> None:
    part = Fake(unready=unready)
    result = await checked(part)

    assert (result.state, result.what, result.hint) == ("fail", what, "see THE_ADDRESS")
    assert part.calls == ["prepare", "close"]


@KINDS
async def test_one_that_takes_long_to_start_may_be_fetching_its_model(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Fake):
        async def prepare(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("relay.check.parts.START_SECONDS", 0.01)
    part = Slow()
    result = await checked(part)

    assert (result.state, result.what) == ("fail", "fake: not started after 0 s")
    assert "takes minutes" in result.hint
    assert part.calls == ["close"]


@pytest.mark.parametrize("device", ["", "cpu", "cuda"])
@pytest.mark.parametrize("checked", [transcriber, responder])
async def test_S4_39_where_a_model_computes_is_told(checked: Checked, device: str) -> None:
    part = Fake(pieces=[ReplyDelta("Yes.")] if checked is responder else ["Yes."], device=device)
    result = await checked(part)

    assert result.state == "ok"
    assert result.what.startswith(f"fake on {device}: " if device else "fake: ")
    assert result.hint == ("no card was found" if device == "cpu" else "")


@pytest.mark.parametrize(
    ("checked", "pieces", "what"),
    [
        (synthesizer, [], "fake: no sound came of a sentence"),
        (synthesizer, [bytes(4800)], "fake: no sound came of a sentence"),
        (transcriber, [], "fake: nothing was understood of a spoken sentence"),
        (transcriber, [" "], "fake: nothing was understood of a spoken sentence"),
        (responder, [ReplyDelta("")], "fake: an empty answer to a short question"),
        (responder, [FunctionCall("f")], "fake: an empty answer to a short question"),
    ],
)
async def test_a_part_that_gives_nothing_does_not_work(
    checked: Checked, pieces: Sequence[ReplyPiece], what: str
) -> None:
    result = await checked(Fake(pieces=pieces))

    assert (result.state, result.what, result.hint) == ("fail", what, "see THE_MODEL")


async def test_the_first_speech_is_what_the_others_hear() -> None:
    check, first = PartsCheck(nothing), Fake(pieces=[tone(700)])
    await check.synthesizer(first, REMEDIES)
    await check.synthesizer(Fake(pieces=[tone(100)]), REMEDIES)
    part = Fake(pieces=["Yes."])
    await check.transcriber(part, REMEDIES)

    assert part.calls[1].pcm == tone(700)


async def test_without_any_voice_silence_shows_how_fast_they_are() -> None:
    check, part = PartsCheck(nothing), Fake()
    found = await check.speech_detector(scripted_parts().make_speech_detector)
    heard = await check.transcriber(part, REMEDIES)

    assert (found.state, heard.state) == ("ok", "ok")
    assert found.what.startswith("works (there was no speech to find): ")
    assert heard.what.startswith("fake: there was no speech to hear; first words after ")
    assert part.calls[1].pcm == bytes(SECOND_BYTES)


async def test_a_detector_that_finds_no_turn_does_not_work() -> None:
    class Deaf:
        silence_ms = 500

        def detect(self, pcm: bytes) -> list[Any]:
            return []

        def reset(self) -> None:
            pass

    result = await PartsCheck(a_tone).speech_detector(Deaf)

    assert (result.state, result.what) == ("fail", "no turn was found in a spoken sentence")


@pytest.mark.parametrize(
    ("language", "languages", "state"),
    [
        ("de", ("en",), "fail"),
        ("de-CH", ("en",), "fail"),
        ("en-GB", ("en",), "ok"),
        ("de", (), "ok"),
        (None, ("en",), "ok"),
    ],
)
async def test_a_language_that_the_model_does_not_know_is_told(
    language: str | None, languages: tuple[str, ...], state: str
) -> None:
    part = Fake(pieces=["What?"], languages=languages)
    result = await PartsCheck(a_tone).transcriber(part, REMEDIES, language)

    assert result.state == state
    if state == "fail":
        assert result.what == f"fake does not know the language {language}"
        assert "STT_MODEL" in result.hint


async def test_remote_parts_do_their_work_over_a_socket() -> None:
    check = PartsCheck(nothing)
    async with openai_api() as (double, url):
        double.answer_with = Answer("Rome.")
        parts = [OpenAIClient(url, KEY) for _ in range(3)]
        model = OpenAIResponder(parts[2], "gpt-4o-mini")
        results = [
            await check.synthesizer(OpenAISynthesizer(parts[0], "gpt-4o-mini-tts"), REMEDIES),
            await check.transcriber(OpenAITranscriber(parts[1], "gpt-4o-transcribe"), REMEDIES),
            await check.responder(lambda: model, [parts[2]], REMEDIES),
        ]

    assert [result.state for result in results] == ["ok"] * 3
    assert "hertz\u201d" in results[1].what


async def test_a_remote_part_whose_key_is_refused_shows_no_key() -> None:
    async with openai_api() as (double, url):
        part = OpenAISynthesizer(OpenAIClient(url, "sk-wrong"), "gpt-4o-mini-tts")
        refused = await PartsCheck(nothing).synthesizer(part, REMEDIES)
        double.faults.append(Fault(status=429))
        part = OpenAISynthesizer(OpenAIClient(url, KEY), "gpt-4o-mini-tts")
        limited = await PartsCheck(nothing).synthesizer(part, REMEDIES)

    assert refused.what == "gpt-4o-mini-tts: unauthorized: 401 invalid_api_key"
    assert refused.hint == "see THE_KEY"
    assert limited.what == "gpt-4o-mini-tts: rate_limited: 429 made_to_fail"


async def test_times_are_those_of_the_first_answer_and_of_the_last_work_that_ended_well() -> None:
    times = PartTimes()
    times.part_started("synthesizer")
    times.part_answered("synthesizer", "m", 0.2)
    times.part_answered("synthesizer", "m", 0.9)
    times.part_ended("synthesizer", "m", 1.0, "ok")
    times.part_ended("synthesizer", "m", 3.0, "cancelled")
    times.part_ended("transcriber", "m", 4.0, "busy")

    assert (times.first, times.whole) == ({"synthesizer": 0.2}, {"synthesizer": 1.0})
    assert set(times.answered_at) == {"synthesizer"}


@needs("voice")
async def test_the_packaged_parts_hear_what_they_say() -> None:
    from relay.parts.piper import PiperSynthesizer  # noqa: PLC0415 - only with the extra
    from relay.parts.silero import SileroDetector  # noqa: PLC0415 - the same
    from relay.parts.whisper import WhisperTranscriber  # noqa: PLC0415 - the same

    check = PartsCheck(nothing)
    spoken = await check.synthesizer(PiperSynthesizer(), REMEDIES)
    found = await check.speech_detector(SileroDetector)
    heard = await check.transcriber(WhisperTranscriber(device="cpu"), REMEDIES)

    assert (spoken.state, found.state, heard.state) == ("ok", "ok", "ok")
    assert "capital of France" in heard.what
    assert heard.what.startswith("whisper-tiny.en on cpu: ")
    assert heard.hint == "no card was found"


async def test_a_tone_is_no_less_a_voice() -> None:
    assert (await PartsCheck(nothing).synthesizer(ToneSynthesizer(), REMEDIES)).state == "ok"

"""One whole turn with an engine, in real time: what came of it, when, and why not."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from relay.check.engine import LiveCheckFailed, LiveCheckOptions
from relay.check.parts import PartTimes
from relay.check.spoken_turn import SpokenTurnReport, take_spoken_turn, voiced_seconds
from relay.engines.cascade.engine import CascadeEngine
from relay.parts.interfaces import PartFailed, Parts, TranscriptionRequest
from relay.parts.simple import Script, ScriptedTranscriber, scripted_parts, tone
from relay.realtime.endings import AT_CAPACITY
from tests.session.fakes import FakeEngine

OPTIONS = LiveCheckOptions("any", "any", tone(400))
SCRIPT = Script(heard=["What is it?"], replies=["It is a test."])


async def turn(parts: Parts, seconds: float = 30.0) -> SpokenTurnReport:
    times = PartTimes()
    engine = CascadeEngine(parts, observer=times)
    try:
        return await take_spoken_turn(engine, OPTIONS, times, seconds)
    finally:
        await engine.aclose()


async def test_a_turn_is_told_with_where_its_time_went() -> None:
    report = await turn(scripted_parts(SCRIPT))

    assert (report.heard, report.answer) == ("What is it?", "It is a test.")
    assert report.audio_seconds == pytest.approx(0.78)
    assert 0.45 < report.turn_ended < 10, "half a second of silence ends a turn"
    assert report.answered is not None
    assert 0 < report.answered <= report.first_sound
    assert report.transcribed <= report.first_sound < 10
    assert set(report.parts) == {"transcriber", "responder", "synthesizer"}


class FailingTranscriber(ScriptedTranscriber):
    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        raise PartFailed("transcriber", "unauthorized")
        yield ""


async def test_a_part_that_fails_is_named() -> None:
    parts = replace(scripted_parts(SCRIPT), transcriber=FailingTranscriber(["never"]))
    with pytest.raises(LiveCheckFailed) as failed:
        await turn(parts)

    assert "transcri" in str(failed.value)


async def test_an_engine_that_never_answers_is_not_waited_for() -> None:
    quiet = replace(OPTIONS, question=bytes(4800))
    engine = CascadeEngine(scripted_parts(SCRIPT))
    with pytest.raises(LiveCheckFailed) as failed:
        await take_spoken_turn(engine, quiet, PartTimes(), 0.2)
    await engine.aclose()

    assert str(failed.value) == "the turn was not over after 0 s"


async def test_an_engine_that_refuses_says_why() -> None:
    with pytest.raises(LiveCheckFailed) as failed:
        await take_spoken_turn(FakeEngine(AT_CAPACITY), OPTIONS, PartTimes())

    assert str(failed.value) == f"no session: Server at capacity. {AT_CAPACITY.advice}"


@pytest.mark.parametrize(
    ("pcm", "seconds"),
    [
        (b"", 0),
        (bytes(4800), 0),
        (tone(200), 0.2),
        (tone(200) + bytes(9600), 0.2),
        (bytes(9600) + tone(200) + bytes(960) * 3, 0.4),
    ],
)
def test_the_voice_ends_with_its_last_loud_frame(pcm: bytes, seconds: float) -> None:
    assert voiced_seconds(pcm) == pytest.approx(seconds)

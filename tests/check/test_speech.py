"""The question that is asked aloud."""

import pytest

from relay.check import engine as speech
from relay.check.engine import QUESTION, spoken_question
from tests.components import needs

SECOND = 48_000


@needs("voice")
async def test_it_is_spoken_where_there_is_a_voice() -> None:
    pcm = await spoken_question()

    assert SECOND < len(pcm) < 4 * SECOND


async def test_without_a_voice_it_is_a_tone_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "available", lambda: "the demonstration voice is not installed")
    pcm = await spoken_question()

    assert len(pcm) == pytest.approx(len(QUESTION) * 0.06 * SECOND, rel=0.01)
    assert len(set(pcm[:2000])) > 10

"""The provider itself, with a real key; costs some cents: `make test ARGS="-m live"`.

With OPENAI_BASE_URL it is any other server that speaks the Realtime API.
"""

import pytest

from relay.app import make_engine
from relay.check.engine import LiveCheckOptions, LiveReport, run_live_check, spoken_question
from relay.config import Settings, local_settings
from relay.parts.piper import PiperSynthesizer
from tests.components import needs

pytestmark = pytest.mark.live


@pytest.fixture
def settings() -> Settings:
    """What the environment says; without a key there is nobody to talk to."""
    read = local_settings(relay_engine="openai")
    if read.openai_api_key is None:
        pytest.skip("OPENAI_API_KEY is not set, so there is no provider to talk to")
    return read


async def converse(settings: Settings) -> LiveReport:
    engine = make_engine(settings)
    options = LiveCheckOptions(
        model=settings.openai_realtime_model,
        transcription_model=settings.openai_transcription_model,
        question=await spoken_question(PiperSynthesizer()),
    )
    try:
        return await run_live_check(engine, options)
    finally:
        await engine.aclose()


@needs("voice")
async def test_a_voice_turn_and_a_text_turn(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    report = await converse(settings)
    with capsys.disabled():
        print(f"\n{report}")  # noqa: T201 - what one runs it for

    assert report.heard.strip()
    assert report.spoken.strip()
    assert report.written.strip()
    assert report.audio_seconds > 0.3
    assert 0 < report.first_audio_ms < 30_000

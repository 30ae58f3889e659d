"""Where the old fallback text must not come, even where it is enabled."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.parts.interfaces import PartFailed, TranscriptionRequest
from relay.parts.simple import ScriptedTranscriber
from tests.doors.sessions.old_client import AUDIO, sessions_door
from tests.golden.shapes import golden


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """No audio can be transcribed."""

    async def transcribe(
        _: ScriptedTranscriber, request: TranscriptionRequest
    ) -> AsyncIterator[str]:
        raise PartFailed("transcriber", "failed")
        yield ""

    monkeypatch.setattr(ScriptedTranscriber, "transcribe", transcribe)


@pytest.mark.usefixtures("deaf")
@pytest.mark.parametrize(
    ("speaker", "pause"), [("coach", False), ("coach", True), ("client", True)]
)
async def test_S0_9_S0_30_no_fallback_for_a_coach_or_while_paused(
    tmp_path: Path, speaker: str, pause: bool
) -> None:
    async with sessions_door(tmp_path, sessions_legacy_fallback=True) as client:
        await client.create()
        if pause:
            await client.post("/api/session/one/pause")
        body = {"audioData": AUDIO, "speaker": speaker}
        status, error = await client.post("/api/session/one/audio", body)
        record = await client.record()

    assert status == 502
    golden("sessions", "error with a code", error)
    assert record["aiResponses"] == []

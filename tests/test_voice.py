"""The parts together: made when the extra is installed, refused with what to do when it is not."""

import ctypes
import sys
from contextlib import suppress

import pytest

from relay import parts
from relay.engines.cascade.offline import VoiceNotInstalled, available, offline_parts
from relay.parts.interfaces import SAMPLE_RATE, SpeechStarted, SpeechStopped
from relay.parts.stt import PocketsphinxTranscriber
from tests.components import needs

with suppress(ImportError):  # without the extra, `needs("voice")` says so
    from tests.engines.cascade.recordings import prompt


@pytest.fixture
def not_loaded(monkeypatch):
    """As in a process that has not loaded the voice's libraries yet."""
    for name in ("vad", "tts"):
        monkeypatch.delitem(sys.modules, f"relay.parts.{name}", raising=False)
        monkeypatch.delattr(parts, name, raising=False)


@pytest.mark.parametrize("library", ["pocketsphinx", "espeakng_loader", "soxr", "numpy"])
def test_without_a_library_the_reason_names_it_and_says_what_to_do(
    library, not_loaded, monkeypatch
):
    monkeypatch.setitem(sys.modules, library, None)
    reason = available()
    assert reason is not None
    assert library in reason
    assert "pip install 'relay[voice]'" in reason
    with pytest.raises(VoiceNotInstalled, match="make run"):
        offline_parts()


@needs("voice")
def test_a_library_that_does_not_load_here_is_told_too(not_loaded, monkeypatch):
    def broken(path):
        raise OSError("wrong ELF class")

    monkeypatch.setattr(ctypes, "CDLL", broken)
    reason = available()
    assert reason is not None
    assert "cannot be used here (wrong ELF class)" in reason
    assert isinstance(VoiceNotInstalled(reason), ImportError)


@needs("voice")
async def test_with_the_extra_nothing_is_started_before_the_first_session():
    assert available() is None
    parts = offline_parts()
    assert parts.name == "offline"
    assert isinstance(parts.transcriber, PocketsphinxTranscriber)
    assert parts.transcriber._processes == []
    await parts.transcriber.aclose()
    await parts.synthesizer.aclose()


@needs("voice", "human_recordings", "ffmpeg")
async def test_a_session_hears_understands_answers_and_speaks():
    pcm = prompt("queue-thankyou") + bytes(SAMPLE_RATE * 2)
    parts = offline_parts()
    detector, responder = parts.make_speech_detector(), parts.make_responder()
    started, stopped = detector.detect(pcm)
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    first, last = (at_ms * SAMPLE_RATE // 1000 * 2 for at_ms in (started.at_ms, stopped.at_ms))
    heard = await parts.transcriber.transcribe(pcm[max(0, first - 14_400) : last + 14_400])
    assert heard == "thank you for your patience"
    reply = responder.reply(heard)
    assert reply == "You are welcome. What would you like to talk about next?"
    assert len(await parts.synthesizer.synthesize(reply, "marin")) > 2 * SAMPLE_RATE
    await parts.transcriber.aclose()
    await parts.synthesizer.aclose()

"""The ear and the voice that need no packages."""

import time

import pytest

from relay.parts.interfaces import SpeechStarted, SpeechStopped
from relay.parts.simple import LoudnessDetector, ToneSynthesizer, silence, tone


def test_a_tone_and_a_silence_last_as_long_as_asked():
    assert len(tone(250)) == len(silence(250)) == 12_000
    assert max(memoryview(tone(250)).cast("h")) > 5000


async def test_the_longer_the_text_the_longer_the_tone():
    synthesizer = ToneSynthesizer()

    assert len(await synthesizer.synthesize("Ten chars.", "alloy")) == 600 * 48
    assert await synthesizer.synthesize("", "alloy") == b""


def test_the_ear_finds_where_a_voice_begins_and_ends():
    detector = LoudnessDetector()

    happened = detector.detect(silence(1000) + tone(400) + silence(1000))

    assert happened == [SpeechStarted(1000), SpeechStopped(1400)]


@pytest.mark.parametrize("silence_ms", [0, 200, 480, 500])
def test_the_ear_waits_for_the_silence(silence_ms: int):
    detector = LoudnessDetector()
    detector.silence_ms = silence_ms
    detector.detect(tone(400))

    assert detector.detect(silence(max(silence_ms, 20) - 20)) == []
    assert detector.detect(silence(20)) == [SpeechStopped(400)]


def test_a_pause_in_a_sentence_does_not_end_it():
    detector = LoudnessDetector()

    assert len(detector.detect((tone(400) + silence(300)) * 3)) == 1


def test_a_click_and_a_quiet_room_begin_nothing():
    detector = LoudnessDetector()
    room = bytes(memoryview(tone(1000)).cast("h")[:0]) + b"\x40\x01" * 24_000

    assert detector.detect(silence(100) + tone(20) + silence(900)) == []
    assert detector.detect(room) == []


def test_a_reset_forgets_the_turn_and_goes_on_counting():
    detector = LoudnessDetector()
    detector.detect(tone(400))
    detector.reset()

    assert detector.detect(silence(1000)) == []
    assert detector.detect(tone(100)) == [SpeechStarted(1400)]


def test_the_ear_is_cheap():
    """A minute of audio in 20 ms pieces takes less than half a second."""
    detector, piece = LoudnessDetector(), tone(20)
    begin = time.process_time()
    for _ in range(3000):
        detector.detect(piece)
    assert time.process_time() - begin < 0.5

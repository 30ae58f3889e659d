"""The speech detector: turns in people's speech, and none in silence or noise."""

import time
from contextlib import suppress

import pytest

from relay.parts.interfaces import SAMPLE_RATE, SpeechStarted, SpeechStopped
from tests.components import needs

with suppress(ImportError):  # without the extra, `needs("voice")` says so
    import numpy as np

    from relay.parts.vad import PocketsphinxDetector
    from tests.engines.cascade.recordings import prompt as recorded

pytestmark = needs("voice")

SECOND = SAMPLE_RATE * 2  # bytes
Events = list[SpeechStarted | SpeechStopped]


def listen(pcm: bytes, silence_ms: int = 500, piece: int = 960) -> Events:
    """What a detector makes of audio that comes in pieces of so many bytes."""
    detector = PocketsphinxDetector(silence_ms)
    found: Events = []
    for start in range(0, len(pcm), piece):
        found += detector.detect(pcm[start : start + piece])
    return found


def silence(seconds: float) -> bytes:
    return bytes(int(seconds * SAMPLE_RATE) * 2)


def noise(kind: str, seconds: float, level: float) -> bytes:
    """Steady noise whose root mean square is `level`."""
    count = int(seconds * SAMPLE_RATE)
    samples = np.random.default_rng(7).standard_normal(count)
    if kind == "pink":
        spectrum = np.fft.rfft(samples)
        samples = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), count)
    if kind == "hum":
        samples = np.sin(np.arange(count) * 2 * np.pi * 50 / SAMPLE_RATE)
    samples *= level / samples.std()
    return bytes(samples.clip(-32768, 32767).astype("<i2").tobytes())


def mix(one: bytes, other: bytes) -> bytes:
    both = np.frombuffer(one, "<i2").astype(int) + np.frombuffer(other[: len(one)], "<i2")
    return bytes(both.clip(-32768, 32767).astype("<i2").tobytes())


def kinds(events: Events) -> list[type]:
    return [type(event) for event in events]


ONE_TURN = [SpeechStarted, SpeechStopped]


def test_digital_silence_is_no_speech():
    assert listen(silence(20)) == []


@pytest.mark.parametrize("kind", ["white", "pink", "hum"])
@pytest.mark.parametrize("level", [30, 300, 3000, 9000])
def test_steady_noise_is_no_speech(kind, level):
    assert listen(noise(kind, 20, level)) == []


@pytest.mark.parametrize("kind", ["white", "pink", "hum"])
def test_a_noise_that_begins_at_once_is_one_short_turn_at_most(kind):
    """The known false positive: it is over before two seconds have passed."""
    events = listen(silence(2) + noise(kind, 20, 3000))
    assert kinds(events) in ([], ONE_TURN)
    assert all(event.at_ms < 4000 for event in events)


@needs("human_recordings", "ffmpeg")
class TestPeople:
    """What people say is found, from its beginning to its end."""

    def test_a_sentence_is_one_turn_between_its_first_and_last_sound(self):
        said = recorded("conf-onlyperson")
        started, stopped = listen(silence(1) + said + silence(1))
        first, last = 1000 + loud_ms(said)[0], 1000 + loud_ms(said)[1]
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        assert first - 100 <= started.at_ms <= first + 60
        assert last - 100 <= stopped.at_ms <= last + 250

    @pytest.mark.parametrize(
        "name", ["vm-no", "hello", "goodbye", "letters/a", "digits/8", "transfer", "tt-weasels"]
    )
    def test_short_words_and_sentences_are_one_turn(self, name):
        assert kinds(listen(silence(0.5) + recorded(name) + silence(1))) == ONE_TURN

    def test_the_end_is_told_as_soon_as_the_silence_is_over(self):
        said = silence(0.5) + recorded("transfer")
        stopped = listen(said + silence(1))[1]
        assert listen(said + silence(1), silence_ms=900)[1].at_ms == stopped.at_ms
        heard_ms = len(said) * 1000 // SECOND
        until = stopped.at_ms + 500 - heard_ms
        assert len(listen(said + silence((until - 60) / 1000))) == 1
        assert len(listen(said + silence((until + 60) / 1000))) == 2

    def test_a_pause_within_a_turn_belongs_to_it(self):
        pause = trimmed("transfer") + silence(0.3) + trimmed("conf-onlyperson")
        assert kinds(listen(silence(0.5) + pause + silence(1), 500)) == ONE_TURN

    def test_a_longer_pause_ends_the_turn_unless_the_client_wants_to_wait(self):
        two = trimmed("transfer") + silence(1) + trimmed("conf-onlyperson") + silence(3)
        assert kinds(listen(two, 500)) == ONE_TURN * 2
        assert kinds(listen(two, 2500)) == ONE_TURN

    def test_the_silence_may_change_during_a_turn(self):
        detector = PocketsphinxDetector(60_000)
        assert kinds(detector.detect(recorded("transfer") + silence(2))) == [SpeechStarted]
        detector.silence_ms = 300
        assert kinds(detector.detect(silence(0.1))) == [SpeechStopped]

    def test_no_silence_at_all_does_not_end_a_turn_in_the_middle_of_a_word(self):
        events = listen(recorded("hello") + silence(1), silence_ms=0)
        assert kinds(events) == ONE_TURN

    @pytest.mark.parametrize("piece", [1, 7, 960, 9601, 10_000_000])
    def test_pieces_of_any_length_make_the_same_turns(self, piece):
        pcm = silence(0.4) + recorded("queue-thankyou") + silence(1)
        assert listen(pcm, piece=piece) == listen(pcm, piece=480)

    def test_forgetting_a_turn_keeps_the_clock(self):
        detector = PocketsphinxDetector()
        said = recorded("transfer")
        first = detector.detect(said)
        detector.reset()
        assert kinds(first) == [SpeechStarted]
        assert detector.detect(silence(2)) == []
        again = detector.detect(said)
        assert kinds(again) == [SpeechStarted]
        passed = (len(said) + len(silence(2))) * 1000 // SECOND
        assert abs(again[0].at_ms - first[0].at_ms - passed) <= 60

    @pytest.mark.parametrize("kind", ["white", "pink"])
    def test_speech_is_found_in_noise(self, kind):
        """The noise is 20 dB below the voice, as in a car."""
        pcm = silence(2) + recorded("conf-onlyperson") + silence(2)
        events = listen(mix(pcm, noise(kind, 10, 300)))
        spoken = [event for event in events if event.at_ms > 1900]
        assert kinds(spoken)[:2] == ONE_TURN

    def test_a_quiet_speaker_is_heard(self):
        samples = np.frombuffer(recorded("conf-onlyperson"), "<i2") // 20
        assert kinds(listen(samples.astype("<i2").tobytes() + silence(1))) == ONE_TURN

    def test_hearing_costs_less_than_a_millisecond_for_100_ms(self):
        pcm = recorded("conf-usermenu")
        before = time.thread_time()
        listen(pcm)
        assert (time.thread_time() - before) * 1000 < len(pcm) / SECOND * 10


def trimmed(name: str) -> bytes:
    """A recording without the silence around it."""
    first, last = (ms * SECOND // 1000 for ms in loud_ms(recorded(name)))
    return recorded(name)[first:last]


def loud_ms(pcm: bytes) -> tuple[int, int]:
    """Where the first and the last loud samples are, in ms."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 500)
    return int(loud[0]) * 1000 // SAMPLE_RATE, int(loud[-1]) * 1000 // SAMPLE_RATE

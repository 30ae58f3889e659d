"""The speech detector: turns in people's speech, none in silence, noise or music."""

import itertools
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from relay.parts.interfaces import (
    SAMPLE_RATE,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
)
from tests.components import needs

with suppress(ImportError):  # without the extra, `needs("voice")` says so
    import numpy as np

    from relay.parts import silero
    from relay.parts.silero import SileroDetector
    from tests.engines.cascade.recordings import prompt as recorded
    from tests.parts import sounds
    from tests.parts.sounds import SECOND, mix, noise, silence

pytestmark = needs("voice")

ONE_TURN = [SpeechStarted, SpeechPaused, SpeechStopped]


def listen(pcm: bytes, silence_ms: int = 500, piece: int = 960) -> list[SpeechEvent]:
    """What a detector makes of audio that comes in pieces of so many bytes."""
    detector = SileroDetector(silence_ms)
    found: list[SpeechEvent] = []
    for start in range(0, len(pcm), piece):
        found += detector.detect(pcm[start : start + piece])
    return found


def kinds(events: list[SpeechEvent]) -> list[type]:
    return [type(event) for event in events]


def turns(events: list[SpeechEvent]) -> list[type]:
    """Beginnings and ends alone."""
    return [kind for kind in kinds(events) if kind in (SpeechStarted, SpeechStopped)]


def loud_ms(pcm: bytes) -> tuple[int, int]:
    """Where the first and the last loud samples are, in ms."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 500)
    return int(loud[0]) * 1000 // SAMPLE_RATE, int(loud[-1]) * 1000 // SAMPLE_RATE


def trimmed(name: str) -> bytes:
    """A recording without the silence around it."""
    first, last = (ms * SECOND // 1000 & ~1 for ms in loud_ms(recorded(name)))
    return recorded(name)[first:last]


class TestWhatIsNoSpeech:
    def test_digital_silence(self):
        assert listen(silence(20)) == []

    @pytest.mark.parametrize("kind", ["white", "pink", "hum"])
    @pytest.mark.parametrize("level", [30, 300, 3000, 9000])
    def test_steady_noise(self, kind, level):
        assert listen(noise(kind, 10, level)) == []

    @pytest.mark.parametrize("kind", ["white", "pink", "hum"])
    def test_a_noise_that_begins_at_once(self, kind):
        assert listen(silence(2) + noise(kind, 5, 3000) + silence(1)) == []

    @pytest.mark.parametrize("kind", ["chords", "drums", "both"])
    def test_music(self, kind):
        assert listen(sounds.music(kind, 10)) == []

    @pytest.mark.parametrize("kind", ["click", "knock", "cough"])
    def test_a_short_sound(self, kind):
        assert listen(silence(1) + sounds.short(kind) + silence(1)) == []

    @needs("music_recordings", "ffmpeg")
    @pytest.mark.slow
    def test_recorded_music(self):
        """Eighteen minutes of music on hold."""
        for name in sounds.recorded_music():
            assert turns(listen(sounds.music_on_hold(name), piece=SECOND)) == []


@needs("human_recordings", "ffmpeg")
class TestPeople:
    """What people say is found, from its beginning to its end."""

    def test_a_sentence_is_one_turn_between_its_first_and_last_sound(self):
        said = recorded("conf-onlyperson")
        started, paused, stopped = listen(silence(1) + said + silence(1))
        first, last = 1000 + loud_ms(said)[0], 1000 + loud_ms(said)[1]
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        assert first - 100 <= started.at_ms <= first + 60
        assert last - 100 <= stopped.at_ms <= last + 100
        assert paused == SpeechPaused(stopped.at_ms)

    @pytest.mark.parametrize(
        "name", ["vm-no", "hello", "goodbye", "letters/a", "digits/8", "transfer", "tt-weasels"]
    )
    def test_short_words_and_sentences_are_one_turn(self, name):
        assert turns(listen(silence(0.5) + recorded(name) + silence(1))) == turns_of(1)

    def test_the_pause_and_the_end_are_told_as_soon_as_the_silence_is_over(self):
        pcm = silence(0.5) + recorded("transfer") + silence(1)
        _, paused, stopped = listen(pcm)
        assert listen(pcm, silence_ms=900)[2].at_ms == stopped.at_ms
        for event, after in ((paused, 200), (stopped, 500)):
            told_ms = event.at_ms + after
            assert event not in listen(pcm[: (told_ms - 60) * SECOND // 1000 & ~1])
            assert event in listen(pcm[: (told_ms + 60) * SECOND // 1000 & ~1])

    def test_a_pause_within_a_turn_belongs_to_it(self):
        both = trimmed("transfer") + silence(0.35) + trimmed("conf-onlyperson")
        events = listen(silence(0.5) + both + silence(1), 500)
        again = [SpeechPaused, SpeechResumed, SpeechPaused, SpeechStopped]
        assert kinds(events) == [SpeechStarted, *again]
        paused, resumed = events[1].at_ms, events[2].at_ms
        assert 250 <= resumed - paused <= 450

    def test_a_click_in_a_pause_does_not_resume_the_turn(self):
        pcm = recorded("transfer") + silence(0.25) + sounds.short("click") + silence(1)
        assert kinds(listen(silence(0.5) + pcm)) == ONE_TURN

    def test_a_longer_pause_ends_the_turn_unless_the_client_wants_to_wait(self):
        two = trimmed("transfer") + silence(1) + trimmed("conf-onlyperson") + silence(3)
        assert turns(listen(two, 500)) == turns_of(2)
        assert turns(listen(two, 2500)) == turns_of(1)

    def test_the_silence_may_change_within_a_pause_and_applies_at_once(self):
        detector = SileroDetector(60_000)
        begun = detector.detect(recorded("transfer") + silence(2))
        assert kinds(begun) == [SpeechStarted, SpeechPaused]
        detector.silence_ms = 300
        assert kinds(detector.detect(b"")) == [SpeechStopped]

    def test_an_end_before_a_pause_tells_none(self):
        events = listen(recorded("hello") + silence(1), silence_ms=150)
        assert kinds(events) == [SpeechStarted, SpeechStopped]

    def test_no_silence_at_all_does_not_end_a_turn_in_the_middle_of_a_word(self):
        assert turns(listen(recorded("hello") + silence(1), silence_ms=0)) == turns_of(1)

    @pytest.mark.parametrize("piece", [1, 7, 960, 9601, 10_000_000])
    def test_pieces_of_any_length_make_the_same_turns(self, piece):
        pcm = silence(0.4) + recorded("auth-thankyou") + silence(1)
        assert listen(pcm, piece=piece) == listen(pcm, piece=480)

    def test_forgetting_a_turn_keeps_the_clock(self):
        detector = SileroDetector()
        said = recorded("transfer")
        first = detector.detect(said)
        detector.reset()
        assert turns(first) == [SpeechStarted]
        assert detector.detect(silence(2)) == []
        again = detector.detect(said)
        passed = (len(said) + len(silence(2))) * 1000 // SECOND
        assert abs(again[0].at_ms - first[0].at_ms - passed) <= 70

    @pytest.mark.parametrize("kind", ["white", "pink"])
    def test_speech_is_found_in_noise(self, kind):
        """The noise is 20 dB below the voice, as in a car."""
        pcm = silence(2) + recorded("conf-onlyperson") + silence(2)
        assert turns(listen(mix(pcm, noise(kind, 10, 300)))) == turns_of(1)

    def test_speech_is_found_over_music(self):
        pcm = silence(2) + recorded("conf-onlyperson") + silence(2)
        assert turns(listen(mix(pcm, sounds.music("chords", 10, 300)))) == turns_of(1)

    def test_a_quiet_speaker_is_heard(self):
        samples = np.frombuffer(recorded("conf-onlyperson"), "<i2") // 20
        assert turns(listen(samples.astype("<i2").tobytes() + silence(1))) == turns_of(1)

    def test_hearing_costs_less_than_three_hundredths_of_a_core(self):
        """In one of five tries: a busy machine's caches cost more than the model does."""
        pcm = recorded("conf-usermenu")

        def cost() -> float:
            before = time.thread_time()
            listen(pcm)
            return (time.thread_time() - before) / (len(pcm) / SECOND)

        assert any(share < 0.03 for share in (cost() for _ in range(5)))


def turns_of(count: int) -> list[type]:
    return list(itertools.chain.from_iterable([(SpeechStarted, SpeechStopped)] * count))


class TestLoading:
    def test_it_brings_neither_whisper_nor_torch_into_the_process(self):
        check = (
            "import sys; from relay.parts import silero; silero.load();"
            "print({'faster_whisper', 'ctranslate2', 'torch'} & set(sys.modules))"
        )
        ran = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)
        assert ran.stdout == b"set()\n"

    def test_a_missing_package_is_an_import_error(self, monkeypatch):
        monkeypatch.setattr(silero, "MODEL_PACKAGE", "not_a_package")
        silero._model.cache_clear()
        with pytest.raises(ImportError):
            silero.load()

    def test_a_missing_file_is_an_os_error(self, monkeypatch):
        monkeypatch.setattr(silero, "MODEL_FILE", "not_a_file.onnx")
        silero._model.cache_clear()
        with pytest.raises(OSError, match="not_a_file"):
            silero.load()

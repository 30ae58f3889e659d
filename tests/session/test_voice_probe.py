"""A probe finds a voice in a moment of a client's audio."""

import base64
import json

import pytest

from relay.parts.simple import silence, tone
from relay.session.voice_probe import LOOK_BYTES, VoiceProbe


class Found:
    """A probe, and what it said of the pieces of 20 ms that it was given."""

    def __init__(self, pcm: bytes, piece: int = 960, form: str = "audio/pcm") -> None:
        self.voices = self.ends = self.pieces = 0
        probe = VoiceProbe(self._voice, self._end, form)
        for start in range(0, len(pcm), piece):
            if not self.ends:
                self.pieces += 1
                audio = base64.b64encode(pcm[start : start + piece]).decode()
                event = {"type": "input_audio_buffer.append", "audio": audio}
                probe.learner(memoryview(json.dumps(event).encode()))

    def _voice(self) -> None:
        self.voices += 1

    def _end(self) -> None:
        self.ends += 1


def test_a_tone_is_a_voice_at_once() -> None:
    found = Found(tone(2000))
    assert (found.voices, found.ends) == (1, 1)
    assert found.pieces <= 4


def test_silence_takes_one_frame() -> None:
    found = Found(silence(5000))
    assert (found.voices, found.ends, found.pieces) == (0, 1, 1)


def test_a_click_is_looked_at_for_a_moment_and_is_no_voice() -> None:
    found = Found(tone(40) + silence(5000))
    assert (found.voices, found.ends) == (0, 1)
    assert found.pieces == LOOK_BYTES / 960


def test_what_is_no_audio_is_no_voice() -> None:
    voices: list[bool] = []
    probe = VoiceProbe(lambda: voices.append(True), lambda: None)
    for frame in (b"", b"{", b'{"type":"x"}', b'{"audio":"%%%"}'):
        probe.learner(frame)
    assert voices == []


def test_a_minute_in_one_frame_is_not_looked_at_whole() -> None:
    found = Found(silence(60_000), piece=48 * 60_000)
    assert (found.voices, found.ends, found.pieces) == (0, 1, 1)


LOUD_AND_QUIET = {"audio/pcmu": (b"\x80", b"\xff"), "audio/pcma": (b"\xaa", b"\xd5")}
"""The codes of the loudest sample and of silence."""


@pytest.mark.parametrize("law", LOUD_AND_QUIET)
def test_a_telephones_voice_is_found_in_its_own_law(law: str) -> None:
    loud, quiet = LOUD_AND_QUIET[law]
    voice, nothing = Found(loud * 16_000, 160, law), Found(quiet * 16_000, 160, law)
    assert (voice.voices, voice.ends) == (1, 1)
    assert voice.pieces <= 4
    assert (nothing.voices, nothing.ends, nothing.pieces) == (0, 1, 1)

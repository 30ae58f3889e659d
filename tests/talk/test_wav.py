"""WAV files of every kind as PCM16 mono at 24 kHz, and files that are not WAV."""

from __future__ import annotations  # `array[int]` is for the type checker alone on Python 3.11

import itertools
import math
import struct
import sys
import wave
from array import array
from pathlib import Path

import pytest

from relay.talk import wav
from relay.talk.wav import BadWav, read_wav, write_wav
from tests.components import needs

TONE_HZ = 500


def tone(rate: int, seconds: float = 0.1, loudness: float = 0.5) -> list[float]:
    """A sine, -1 to 1."""
    step = 2 * math.pi * TONE_HZ / rate
    return [loudness * math.sin(step * i) for i in range(int(rate * seconds))]


def packed(samples: list[float], width: int) -> bytes:
    """As the samples of a WAV file: unsigned for 8 bit, else signed and little endian."""
    if width == 1:
        return bytes(round(127 * sample) + 128 for sample in samples)
    top = 2 ** (8 * width - 1) - 1
    return b"".join(
        round(top * sample).to_bytes(width, "little", signed=True) for sample in samples
    )


def file_of(path: Path, data: bytes, rate: int = 24_000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def heard(path: Path) -> array[int]:
    return array("h", read_wav(path))


def rms(samples: array[int]) -> float:
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32768


def crossings(samples: array[int]) -> int:
    """How often the wave rises through zero: its pitch."""
    return sum(1 for a, b in itertools.pairwise(samples) if a < 0 <= b)


def test_a_file_in_the_right_format_is_not_changed(tmp_path: Path) -> None:
    data = packed(tone(24_000), 2)

    assert read_wav(file_of(tmp_path / "a.wav", data)) == data


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_sample_width_sounds_the_same(tmp_path: Path, width: int) -> None:
    samples = tone(24_000)
    got = heard(file_of(tmp_path / "a.wav", packed(samples, width), width=width))

    assert len(got) == len(samples)
    worst = max(abs(a - 32767 * b) for a, b in zip(got, samples, strict=True))
    assert worst < (300 if width == 1 else 2)


@pytest.mark.parametrize("channels", [2, 6])
def test_all_channels_become_one(tmp_path: Path, channels: int) -> None:
    samples = tone(24_000)
    frames = b"".join(packed([s] + [0.0] * (channels - 1), 2) for s in samples)
    got = heard(file_of(tmp_path / "a.wav", frames, channels=channels))

    assert len(got) == len(samples)
    assert rms(got) == pytest.approx(0.5 / math.sqrt(2) / channels, rel=0.01)


def test_two_loud_channels_do_not_overflow(tmp_path: Path) -> None:
    got = heard(file_of(tmp_path / "a.wav", struct.pack("<hh", 32767, 32767) * 100, channels=2))

    assert set(got) == {32767}


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize(
    "by",
    [pytest.param("soxr", marks=needs("voice")), "lines"],
)
def test_every_rate_keeps_length_pitch_and_loudness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, by: str
) -> None:
    if by == "lines":
        monkeypatch.setitem(sys.modules, "soxr", None)
    got = heard(file_of(tmp_path / "a.wav", packed(tone(rate, 1.0), 2), rate=rate))

    assert len(got) == pytest.approx(24_000, abs=2)
    assert crossings(got) == pytest.approx(TONE_HZ, abs=1)
    assert rms(got) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)


@pytest.mark.parametrize(("rate", "seconds"), [(100, 2.4), (24_001, 0.01)])
def test_odd_rates_are_rates_too(tmp_path: Path, rate: int, seconds: float) -> None:
    got = heard(file_of(tmp_path / "a.wav", packed(tone(24_000, 0.01), 2), rate=rate))

    assert len(got) == pytest.approx(24_000 * seconds, abs=2)


def test_an_absurd_rate_leaves_no_sound(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.wav", packed(tone(24_000, 0.01), 2), rate=2**31 - 1)

    assert bad(path) == "there is no sound in it"


def test_a_file_that_was_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.wav", packed(tone(24_000), 2))
    path.write_bytes(path.read_bytes()[:-101])

    assert len(read_wav(path)) == 4800 - 102


def bad(path: Path) -> str:
    with pytest.raises(BadWav) as told:
        read_wav(path)
    assert str(told.value).startswith(f"{path}: ")
    return str(told.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVE", b"OggS" + bytes(100), b"RIFF\x24\0\0\0AVI " * 9],
)
def test_garbage_is_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)

    assert bad(path).startswith("not a PCM WAV file")


def test_a_compressed_wav_is_reported(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.wav", packed(tone(24_000), 2))
    whole = path.read_bytes()
    path.write_bytes(whole[:20] + struct.pack("<H", 7) + whole[22:])  # 7 is µ-law

    assert bad(path).startswith("not a PCM WAV file")


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path) -> None:
    assert bad(tmp_path / "none.wav") == "no such file"
    assert bad(tmp_path).startswith("not a PCM WAV file")


def test_a_file_without_samples_is_reported(tmp_path: Path) -> None:
    assert bad(file_of(tmp_path / "a.wav", b"")) == "there is no sound in it"


def test_a_file_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "MAX_SECONDS", 0.05)

    assert bad(file_of(tmp_path / "a.wav", packed(tone(24_000), 2))) == "longer than 0 s"


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    data = packed(tone(24_000), 2)
    write_wav(tmp_path / "a.wav", data)

    assert read_wav(tmp_path / "a.wav") == data
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)

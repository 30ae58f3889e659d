"""Generated audio: input of the fake microphone, and answers."""

import math
import wave
from array import array
from pathlib import Path

RATE = 24000


def tone(seconds: float, pitch: float = 440.0, loudness: float = 0.4) -> bytes:
    """PCM16 mono at 24 kHz."""
    step = 2 * math.pi * pitch / RATE
    samples = (int(32767 * loudness * math.sin(step * at)) for at in range(int(RATE * seconds)))
    return array("h", samples).tobytes()


def syllables(path: Path, pause: float = 0.2) -> Path:
    """A WAV that noise suppression takes for speech: swept, swelling sounds, then a pause (s)."""
    sound = bytearray()
    for pitch in (180, 240, 210, 300):
        for at in range(RATE // 4):
            swell = math.sin(math.pi * at / (RATE // 4))
            phase = 2 * math.pi * (pitch + 40 * swell) * at / RATE
            voice = sum(math.sin(phase * n) / n for n in range(1, 9))
            sound += int(9000 * swell * voice).to_bytes(2, "little", signed=True)
        sound += bytes(RATE // 5 * 2)
    return write(path, bytes(sound) + silence(pause))


def silence(seconds: float) -> bytes:
    return bytes(int(RATE * seconds) * 2)


def write(path: Path, pcm: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)
    return path


def read(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return bytes(file.readframes(file.getnframes()))


def loudness(pcm: bytes) -> float:
    """Root mean square, 0 to 1."""
    samples = array("h", pcm)
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32768

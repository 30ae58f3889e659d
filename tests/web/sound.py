"""Sounds made for the page: what its fake microphone hears, and what an answer sounds like."""

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


def syllables(path: Path) -> Path:
    """A WAV that noise suppression takes for speech: swept, swelling sounds with gaps."""
    sound = bytearray()
    for pitch in (180, 240, 210, 300):
        for at in range(RATE // 4):
            swell = math.sin(math.pi * at / (RATE // 4))
            phase = 2 * math.pi * (pitch + 40 * swell) * at / RATE
            voice = sum(math.sin(phase * n) / n for n in range(1, 9))
            sound += int(9000 * swell * voice).to_bytes(2, "little", signed=True)
        sound += bytes(RATE // 5)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(sound))
    return path


def loudness(pcm: bytes) -> float:
    """Root mean square, 0 to 1."""
    samples = array("h", pcm)
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32768

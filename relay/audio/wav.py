"""Writes WAV, and mends the header of one that was written while it was recorded."""

import struct
from typing import Final

_HEAD: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CHUNK: Final = struct.Struct("<4sI")
FIRST_CHUNK: Final = 12  # after RIFF, its size and WAVE


def wav_of(pcm: bytes, rate: int = 24_000) -> bytes:
    """Return PCM16 mono as a WAV file."""
    size = len(pcm)
    head = (b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", size)
    return _HEAD.pack(*head) + pcm


def is_wav(data: bytes) -> bool:
    """Whether it begins like a WAV file."""
    return data[:4] in (b"RIFF", b"RF64", b"RIFX") and data[8:12] == b"WAVE"


def with_length(wav: bytes) -> bytes:
    """The WAV with a `data` chunk as long as what there is.

    A recorder that streams writes 0 or 0xFFFFFFFF there, and one that was cut off has too little.
    """
    at = FIRST_CHUNK
    while at + _CHUNK.size <= len(wav):
        name, size = _CHUNK.unpack_from(wav, at)
        left = len(wav) - at - _CHUNK.size
        if name == b"data":
            if 0 < size <= left:
                return wav
            return wav[:at] + _CHUNK.pack(name, left) + wav[at + _CHUNK.size :]
        at += _CHUNK.size + size + size % 2
    return wav

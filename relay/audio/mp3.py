"""Encodes speech as MP3 while it is made. Loads the codec in this process: call it in a thread."""

import io
from typing import Final

import numpy as np
import soundfile

RATE: Final = 24_000
COMPRESSION: Final = 0.5
"""80 kbit/s: between the best sound (0) and the smallest size (1)."""


class Mp3Stream:
    """One stream: PCM16 mono 24 kHz in, MP3 out.

    Its bit rate is constant, and the first frame, which would tell the length, is left out: that is
    written last, and players reckon the length from the size.
    """

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._read = 0
        self._encoder = soundfile.SoundFile(
            *(self._file, "w", RATE, 1, "MPEG_LAYER_III"),
            format="MP3",
            bitrate_mode="CONSTANT",
            compression_level=COMPRESSION,
        )

    def encode(self, pcm: bytes) -> bytes:
        """The MP3 that this sound completes, which may be nothing yet."""
        self._encoder.write(np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2"))
        self._encoder.flush()
        return self._rest()

    def finish(self) -> bytes:
        """What is left."""
        self._encoder.close()
        return self._rest()

    def _rest(self) -> bytes:
        whole = self._file.getvalue()
        if self._read == 0:
            self._read = max(whole.find(whole[:3], 3), 0)  # where the second frame begins
        made = whole[self._read :] if self._read else b""
        self._read += len(made)
        return made

"""The process that decodes speech: reads audio from its stdin and writes words to its stdout.

pocketsphinx holds Python's global lock for as long as it decodes (0.64 s for a sentence of 3 s),
so it cannot share a process with an event loop. Both ways a message is a length (4 bytes, big
endian) and that many bytes: PCM16 at 24 kHz one way, UTF-8 the other. The process ends with its
stdin, and on Linux at once with its parent, however that one dies.
"""

import ctypes
import os
import signal
import struct
import sys
from typing import IO, Any, Final

from relay.parts.interfaces import SAMPLE_RATE

LENGTH: Final = struct.Struct(">I")
DECODER_RATE: Final = 16_000  # Hz; what the bundled model was trained on
SHORTEST_SAMPLES: Final = SAMPLE_RATE // 10  # no word is shorter than 0.1 s

NICENESS: Final = 5  # relaying has priority over recognition

_PR_SET_PDEATHSIG: Final = 1  # from linux/prctl.h


class Decoder:
    """pocketsphinx with its bundled open language model; the first one takes 0.5 s to load."""

    def __init__(self) -> None:
        import pocketsphinx  # noqa: PLC0415 - heavy, and only this process needs it

        # The second, flat pass over the words costs a fifth of the time and is no more accurate
        # (24.5 % word errors without it, 25.0 % with it, in 70 recordings of a person).
        self._decoder: Any = pocketsphinx.Decoder(loglevel="FATAL", fwdflat=False)

    def words(self, pcm: bytes) -> str:
        """Return the words in one turn's audio (PCM16, 24 kHz), "" when there are none."""
        import numpy as np  # noqa: PLC0415
        import soxr  # noqa: PLC0415

        samples = np.frombuffer(pcm, dtype="<i2", count=len(pcm) // 2)
        if len(samples) < SHORTEST_SAMPLES:
            return ""
        audio = soxr.resample(samples, SAMPLE_RATE, DECODER_RATE)
        self._decoder.reinit_feat()  # reset the previous turn's noise estimate
        self._decoder.start_utt()
        self._decoder.process_raw(audio.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return str(hypothesis.hypstr) if hypothesis else ""


def write_message(pipe: IO[bytes], message: bytes) -> None:
    """Send one message; raises OSError when the other end is gone."""
    pipe.write(LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> bytes | None:
    """Wait for one message; None when the other end is gone."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    length = LENGTH.unpack(head)[0]
    message = pipe.read(length)
    return message if len(message) == length else None


def serve(calls: IO[bytes], answers: IO[bytes]) -> None:
    """Decode what comes until the other end is gone."""
    decoder = Decoder()
    while (pcm := read_message(calls)) is not None:
        try:
            write_message(answers, decoder.words(pcm).encode())
        except OSError:
            return


def _die_with(parent: int) -> None:
    """On Linux, be killed when the parent dies; elsewhere the end of stdin is the only sign."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be watched
        sys.exit(0)


def main() -> None:
    """Run as `python -m relay.parts.stt_worker PARENT_PID`."""
    _die_with(int(sys.argv[1]))
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

"""The synthesizer of the offline voice: eSpeak NG, called in a thread of its own."""

import asyncio
import ctypes
import functools
import re
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import espeakng_loader
import numpy as np
import soxr

from relay.parts.interfaces import SAMPLE_RATE, PartFailed, SynthesisRequest

LONGEST_TEXT: Final = 2_000  # characters, about two minutes of speech; the rest is not spoken
MOST_TEXTS: Final = 64  # texts waiting or being spoken at once; one more is refused: PartFailed


class EspeakSynthesizer:
    """A `Synthesizer` on eSpeak NG; about 1 ms of work per second of speech."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="synthesizer")
        self._lock = threading.Lock()  # guards the two below
        self._texts = 0
        self._closed = False

    name = "espeak"

    async def prepare(self) -> None:
        """Do nothing: the first text loads the library."""

    async def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        """Yield the text as PCM16 at 24 kHz in one of `VOICES`; b"" for nothing to say.

        Raises `PartFailed` when `MOST_TEXTS` are under way, when espeak fails, and once closed.
        """
        yield await asyncio.wrap_future(self._submit(request.text, request.voice))

    async def aclose(self) -> None:
        """Release the thread; texts under way are finished first (some ms each)."""
        with self._lock:
            self._closed = True
        await asyncio.to_thread(self._thread.shutdown)

    def _submit(self, text: str, voice: str) -> Future[bytes]:
        with self._lock:
            if self._closed:
                raise PartFailed("synthesizer", "failed", "the synthesizer is closed")
            if self._texts >= MOST_TEXTS:
                raise PartFailed("synthesizer", "failed", "too many texts")
            self._texts += 1
            work = self._thread.submit(render, text, voice)
        work.add_done_callback(self._text_done)
        return work

    def _text_done(self, work: Future[bytes]) -> None:
        with self._lock:
            self._texts -= 1


def render(text: str, voice: str) -> bytes:
    """Return `text` as PCM16 at 24 kHz; blocks. Raises `PartFailed`."""
    words = spelled_out(text)
    if not words:
        return b""
    try:
        raw, rate = _espeak().say(words, VOICES.get(voice, VOICES["alloy"]))
    except OSError as error:
        raise PartFailed("synthesizer", "failed", "eSpeak NG cannot speak") from error
    samples = soxr.resample(np.frombuffer(raw, dtype="<i2"), rate, SAMPLE_RATE)
    return bytes(samples.astype("<i2", copy=False).tobytes())


SPELLINGS: Final = (
    ("OPENAI_API_KEY", "open A I, A P I key"),
    ("OPENAI_BASE_URL", "open A I, base U R L"),
    ("OpenAI", "open A I"),
    ("/v1/realtime", "the real time protocol"),
    ("LocalAI", "local A I"),
    ("speaches", "speeches"),
)
"""Written words that would be read badly, and how they are spoken."""


def spelled_out(text: str) -> str:
    """Return `text` as it is read aloud: names spelled out, cut after `LONGEST_TEXT`."""
    for written, said in SPELLINGS:
        text = text.replace(written, said)
    text = re.sub(r"\s+", " ", text.replace("\0", " ")).strip()
    if len(text) <= LONGEST_TEXT:
        return text
    return text[:LONGEST_TEXT].rpartition(" ")[0] or text[:LONGEST_TEXT]


@dataclass(frozen=True, slots=True)
class Timbre:
    """The sound of one voice: an espeak voice, words a minute, and pitch (0 to 99)."""

    name: str
    rate: int
    pitch: int


VOICES: Final = {
    "alloy": Timbre("en-us", 155, 50),
    "ash": Timbre("en-us+m3", 155, 42),
    "ballad": Timbre("en+m1", 145, 45),
    "cedar": Timbre("en-us+m7", 150, 35),
    "coral": Timbre("en-us+f2", 160, 55),
    "echo": Timbre("en-us+m2", 155, 45),
    "marin": Timbre("en-us+f3", 155, 50),
    "sage": Timbre("en-us+f4", 150, 50),
    "shimmer": Timbre("en+f5", 160, 60),
    "verse": Timbre("en", 155, 45),
}
"""The sound of OpenAI's voice names; any other name sounds like `alloy`."""

# From espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2
_CHARS_UTF8: Final = 1
_POSITION_CHARACTER: Final = 1
_RATE: Final = 1
_PITCH: Final = 3
_CALLBACK: Any = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Espeak:
    """The loaded library. It has one state for the whole process, so `say` is one at a time."""

    def __init__(self) -> None:
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, 0)
        if rate <= 0:
            raise OSError("eSpeak NG does not start")
        self._rate = int(rate)
        self._pieces: list[bytes] = []
        self._collect = _CALLBACK(self._collected)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._collect)
        self._lock = threading.Lock()

    def say(self, text: str, timbre: Timbre) -> tuple[bytes, int]:
        """Return PCM16 and its rate in Hz; raises OSError."""
        characters = text.encode(errors="replace")
        with self._lock:
            self._pieces.clear()
            failed = self._library.espeak_SetVoiceByName(timbre.name.encode())
            failed = failed or self._library.espeak_SetParameter(_RATE, timbre.rate, 0)
            failed = failed or self._library.espeak_SetParameter(_PITCH, timbre.pitch, 0)
            failed = failed or self._library.espeak_Synth(
                characters, len(characters) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
            )
            pcm = b"".join(self._pieces)
            self._pieces.clear()
        if failed:
            raise OSError(f"eSpeak NG answers {failed}")
        return pcm, self._rate

    def _collected(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, count * 2))
        return 0  # go on


@functools.cache
def _espeak() -> Espeak:
    return Espeak()


def load() -> None:
    """Load the library now; raises OSError when it cannot be used on this machine."""
    _espeak()

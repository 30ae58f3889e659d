"""Chooses the recordings that every contender hears, by rule, and writes them to files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import soxr

from relay.parts.interfaces import SAMPLE_RATE
from tests.benchmarks.voice.call import Saying
from tests.benchmarks.voice.sound import longest_pause, voice_end
from tests.components import COMPONENTS
from tests.engines.cascade.recordings import as_words, prompt, prompt_names, prompt_texts

RATES: Final = (16_000, 24_000)
"""Hz: what the detectors work at, and the Realtime API's."""
SHORTEST, LONGEST = 2.0, 5.0
"""Seconds of voice."""
WORDS: Final = 5
PAUSE: Final = 0.3
"""Seconds. A recording with a longer pause may become two turns."""
FINISHED: Final = re.compile(r"[A-Z][^\d#*]*[^.\d#*][.!?]")
UNFINISHED: Final = re.compile(r"[A-Z][^\d#*]*\.\.\.")


def without_recordings() -> str | None:
    """What would bring the recordings and their decoder; None where they are here."""
    lacking = [COMPONENTS[name] for name in ("human_recordings", "ffmpeg")]
    return next((one.source for one in lacking if one.find() is None), None)


def recordings(finished: int, unfinished: int, folder: Path) -> list[Saying]:
    """So many whole sentences, and sentences that break off, evenly spread over all there are."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = _spread(list(_fitting(FINISHED)), finished)
    broken = _spread(list(_fitting(UNFINISHED)), unfinished)
    return [_write(name, folder, finished=name in whole) for name in whole + broken]


def _fitting(shape: re.Pattern[str]) -> Iterator[str]:
    """The prompts of this shape, long enough, without a long pause; by name."""
    texts = prompt_texts()
    for name in prompt_names():
        if not shape.fullmatch(texts[name]) or len(as_words(texts[name])) < WORDS:
            continue
        pcm = prompt(name)
        fits = SHORTEST <= voice_end(pcm, SAMPLE_RATE) <= LONGEST
        if fits and longest_pause(pcm, SAMPLE_RATE) <= PAUSE:
            yield name


def _spread(names: list[str], count: int) -> list[str]:
    return [names[(2 * index + 1) * len(names) // (2 * count)] for index in range(count)]


def _write(name: str, folder: Path, *, finished: bool) -> Saying:
    pcm, files = prompt(name), {}
    for rate in RATES:
        samples = np.frombuffer(pcm, dtype="<i2")
        file = folder / f"{name.replace('/', '-')}-{rate}.pcm"
        file.write_bytes(soxr.resample(samples, SAMPLE_RATE, rate).astype("<i2").tobytes())
        files[str(rate)] = str(file)
    return Saying(name, prompt_texts()[name], files, voice_end(pcm, SAMPLE_RATE), finished)

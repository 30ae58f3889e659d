"""What the hottest functions cost alone, in microseconds a call."""

import timeit
from collections.abc import Callable
from typing import Final

from relay.realtime.events import HEAD_BYTES, audio_length, decode, forwardable_append, sniff
from tests.benchmarks import frames

_REPEATS: Final = 7
_SECONDS: Final = 0.03  # of one repeat


def measure(seconds: float = _SECONDS) -> dict[str, float]:
    """The best of some repeats of so many seconds, which is the one that nothing disturbed."""
    up = memoryview(frames.append().at(1))
    down = [one.at(1) for one in frames.turns()[:150]]
    audio = memoryview(next(one for one in down if b"output_audio.delta" in one[:64]))
    word = memoryview(next(one for one in down if b"transcript.delta" in one[:64]))
    done = memoryview(next(one for one in down if b'"response.done"' in one[:64]))
    cases: dict[str, Callable[[], object]] = {
        "forwardable_append, 20 ms of audio": lambda: forwardable_append(up),
        "sniff, audio delta": lambda: sniff(audio),
        "audio_length, audio delta": lambda: audio_length(bytes(audio[:HEAD_BYTES]), len(audio)),
        "sniff, transcript delta": lambda: sniff(word),
        "decode, transcript delta": lambda: decode(word),
        "decode, response.done": lambda: decode(done),
    }
    return {name: _best(call, seconds) for name, call in cases.items()}


def _best(call: Callable[[], object], seconds: float) -> float:
    timer = timeit.Timer(call)
    number = max(1, int(seconds / (timer.timeit(1000) / 1000)))
    return min(timer.repeat(_REPEATS, number)) / number * 1e6

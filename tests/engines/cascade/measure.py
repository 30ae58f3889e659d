"""How well the offline voice understands people, and what that costs: by hand, for the README.

`python -m tests.engines.cascade.measure` transcribes every recording (20 minutes of speech, some
five minutes on two cores), prints the word error rates, every prompt that a topic was found in,
and the costs. `--save FILE` keeps what was heard, one prompt a line.
"""

import argparse
import asyncio
import resource
import time
from collections.abc import Iterable
from pathlib import Path

from relay.parts.interfaces import SAMPLE_RATE
from relay.parts.responder import topic_of
from relay.parts.stt import LONGEST_TURN_BYTES, WORKERS, PocketsphinxTranscriber
from relay.parts.tts import EspeakSynthesizer
from relay.parts.vad import PocketsphinxDetector
from tests.engines.cascade.recordings import (
    as_words,
    prompt,
    prompt_names,
    prompt_texts,
    read_aloud,
    word_errors,
)

SECOND = SAMPLE_RATE * 2  # bytes
SPANS = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 999), (3, 999), (1, 999))
Pair = tuple[list[str], list[str]]


class LongestTick:
    """How long the event loop went without a turn at the longest: by the clock, and in CPU time.

    The clock also counts what other programs took; the CPU time is this process's own.
    """

    def __init__(self) -> None:
        self.clock = self.cpu = 0.0

    async def watch(self) -> None:
        while True:
            clock, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.001)
            self.clock = max(self.clock, time.perf_counter() - clock - 0.001)
            self.cpu = max(self.cpu, time.process_time() - cpu)


async def transcribe_all(
    transcriber: PocketsphinxTranscriber, audio: dict[str, bytes]
) -> dict[str, str]:
    """What is heard in each piece, by name; as many at once as there are processes."""
    heard: dict[str, str] = {}
    waiting = iter(audio.items())

    async def worker() -> None:
        for name, pcm in waiting:
            heard[name] = await transcriber.transcribe(pcm)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())
    return heard


def print_errors(title: str, pairs: Iterable[Pair]) -> None:
    """One table of word error rates, by the number of words said."""
    pairs = list(pairs)
    print(
        f"\n{title}\n{'words said':>12} {'recordings':>11} {'words':>6} {'WER':>7} {'perfect':>8}"
    )
    for least, most in SPANS:
        some = [(said, heard) for said, heard in pairs if least <= len(said) <= most]
        words = sum(len(said) for said, _ in some)
        if not words:
            continue
        wrong = [word_errors(said, heard) for said, heard in some]
        span = f"{least}+" if most == 999 else f"{least} to {most}" if most > least else str(least)
        rate = 100 * sum(wrong) / words
        print(f"{span:>12} {len(some):>11} {words:>6} {rate:6.1f}% {wrong.count(0):>8}")


def print_topics(heard: dict[str, str]) -> None:
    """Every prompt that a topic was found in, for a person to judge."""
    print(f"\ntopics found in {len(heard)} prompts:")
    for name, text in sorted(heard.items()):
        if topic := topic_of(text):
            print(f"  {topic.name:14} {name:24} said: {prompt_texts()[name][:60]}")


async def listen_to_everything() -> dict[str, str]:
    """Transcribe every prompt and every reading; print what that costs and how well it goes."""
    transcriber, tick = PocketsphinxTranscriber(), LongestTick()
    began = time.perf_counter()
    await transcriber.transcribe(bytes(SECOND))
    print(f"transcriber ready after {time.perf_counter() - began:.2f} s")
    every = {name: prompt(name) for name in prompt_names()}
    prompts = {name: pcm for name, pcm in every.items() if len(pcm) <= LONGEST_TURN_BYTES}
    print(f"{len(prompts)} prompts of {len(every)}; the others are longer than one turn may be")
    watching = asyncio.create_task(tick.watch())
    began = time.perf_counter()
    heard = await transcribe_all(transcriber, prompts)
    passed, audio = time.perf_counter() - began, sum(map(len, prompts.values())) / SECOND
    watching.cancel()
    print(f"{audio:.0f} s of audio in {passed:.0f} s with {WORKERS} processes")
    clock, cpu = tick.clock * 1000, tick.cpu * 1000
    print(f"event loop: longest gap {clock:.1f} ms by the clock, {cpu:.1f} ms of CPU")
    for process in transcriber._processes:
        print(f"decoding process: {peak_mib(process.pid)} MiB at most")
    texts = prompt_texts()
    print_errors("Asterisk's prompts", ((as_words(texts[n]), h.split()) for n, h in heard.items()))
    for folder in ("librivox", "cards"):
        pieces = read_aloud(folder)
        words = await transcribe_all(transcriber, {name: pcm for name, (pcm, _) in pieces.items()})
        print_errors(folder, ((as_words(pieces[n][1]), h.split()) for n, h in words.items()))
    began = time.perf_counter()
    await transcriber.aclose()
    print(f"\nrecogniser closed in {(time.perf_counter() - began) * 1000:.0f} ms")
    return heard


def peak_mib(pid: int) -> int:
    """The most memory that a process has used so far, on Linux."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


async def measure_mouth() -> None:
    synthesizer, text = (
        EspeakSynthesizer(),
        "Let us look at your work. Which part of it gives you energy?",
    )
    await synthesizer.synthesize("Ready.", "alloy")
    began = time.perf_counter()
    pcm = await synthesizer.synthesize(text, "alloy")
    spent = time.perf_counter() - began
    print(f"\nmouth: {len(pcm) / SECOND:.1f} s of speech in {spent * 1000:.1f} ms")
    await synthesizer.aclose()


def measure_ear() -> None:
    detector, pcm = PocketsphinxDetector(), prompt("conf-usermenu")
    began = time.process_time()
    for start in range(0, len(pcm), SECOND // 50):
        detector.detect(pcm[start : start + SECOND // 50])
    spent = (time.process_time() - began) / (len(pcm) / SECOND) * 100
    print(f"detector: {spent:.3f} ms of CPU for 100 ms of audio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path)
    save = parser.parse_args().save
    measure_ear()
    asyncio.run(measure_mouth())
    heard = asyncio.run(listen_to_everything())
    print_topics(heard)
    if save:
        save.write_text("".join(f"{name}\t{text}\n" for name, text in sorted(heard.items())))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"this process: {peak:.0f} MiB at most")


if __name__ == "__main__":
    main()

"""The transcriber understands people, and its processes never get in the way."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from relay.parts import stt
from relay.parts.interfaces import SAMPLE_RATE, PartFailed
from relay.parts.stt import MOST_TURNS, DecodingProcess, PocketsphinxTranscriber
from tests.components import needs

with suppress(ImportError):  # without the extra, `needs("voice")` says so
    from relay.parts.tts import EspeakSynthesizer
    from tests.engines.cascade.recordings import as_words, prompt, prompt_texts, word_errors

pytestmark = needs("voice")

SECOND = SAMPLE_RATE * 2  # bytes
PERFECT = {
    "conf-onlyperson": "you are currently the only person in this conference",
    "transfer": "please hold while i try that extension",
    "queue-thankyou": "thank you for your patience",
    "conf-invalid": "that is not a valid conference number please try again",
}
SAMPLE = (
    *PERFECT,
    "cannot-complete-as-dialed",
    "conf-locked",
    "demo-nomatch",
    "dir-instr",
    "something-terribly-wrong",
    "vm-intro",
    "vm-nobodyavail",
    "vm-savefolder",
)
"""Twelve prompts of 4 to 18 words, some well understood and some badly, as the whole set is."""


@pytest.fixture(scope="module")
def transcriber() -> Iterator[PocketsphinxTranscriber]:
    """One for the tests that leave it as it was; it is at home in every event loop."""
    one = PocketsphinxTranscriber()
    yield one
    asyncio.run(one.aclose())


@pytest.fixture
async def fresh() -> AsyncIterator[PocketsphinxTranscriber]:
    """One of its own for a test that kills, fills or closes it."""
    one = PocketsphinxTranscriber()
    yield one
    await one.aclose()


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not condition():
        time.sleep(0.01)
    return condition()


async def first_process(transcriber: PocketsphinxTranscriber) -> DecodingProcess:
    assert await asyncio.to_thread(wait_until, lambda: bool(transcriber._processes))
    return transcriber._processes[0]


def gone(pid: int) -> bool:
    """Whether a process has ended (one that nobody has waited for yet counts as ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@needs("human_recordings", "ffmpeg")
class TestPeople:
    """Measured on recordings of a person; the README's figure is from all of them (measure.py)."""

    @pytest.mark.parametrize("name", PERFECT)
    async def test_these_sentences_are_understood_word_by_word(self, transcriber, name):
        assert await transcriber.transcribe(prompt(name)) == PERFECT[name]

    @pytest.mark.slow
    async def test_of_twelve_sentences_no_more_than_four_words_in_ten_are_wrong(self, transcriber):
        wrong = said = 0
        for name in SAMPLE:
            heard = await transcriber.transcribe(prompt(name))
            words = as_words(prompt_texts()[name])
            wrong += word_errors(words, heard.split())
            said += len(words)
        assert said > 100
        assert wrong / said <= 0.4

    async def test_only_the_beginning_of_a_very_long_turn_is_decoded(
        self, transcriber, monkeypatch
    ):
        monkeypatch.setattr(stt, "LONGEST_TURN_BYTES", 2 * SECOND)
        heard = await transcriber.transcribe(prompt("conf-onlyperson"))
        assert 2 <= len(heard.split()) < len(PERFECT["conf-onlyperson"].split())


@pytest.mark.parametrize("seconds", [0, 0.05, 1, 5])
async def test_nothing_is_heard_in_silence(transcriber, seconds):
    assert await transcriber.transcribe(bytes(int(seconds * SAMPLE_RATE) * 2)) == ""


async def test_half_a_sample_at_the_end_is_left_out(transcriber):
    assert await transcriber.transcribe(bytes(SECOND + 1)) == ""


async def longest_gap(work: Coroutine[None, None, None]) -> float:
    """CPU seconds this process spends between two turns of the event loop, at the most."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.process_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.process_time() - before)

    ticking = asyncio.create_task(tick())
    await work
    ticking.cancel()
    return longest


@needs("human_recordings", "ffmpeg")
async def test_recognising_and_speaking_do_not_hold_up_the_event_loop(transcriber):
    """The event loop turns at least once in 20 ms of its process's CPU time, in one of five tries.

    CPU time and more than one try, because other programs and a virtual machine's host may hold
    the process up. A decoder in a thread would do so in every try, for half a second: it holds
    Python's lock.
    """
    synthesizer, pcm = EspeakSynthesizer(), prompt("conf-invalid")

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(transcriber.transcribe(pcm))
                group.create_task(
                    synthesizer.synthesize("This takes some seconds to say. " * 5, "marin")
                )

    await work()
    gaps = [await longest_gap(work())]
    while min(gaps) >= 0.020 and len(gaps) < 5:
        gaps.append(await longest_gap(work()))
    await synthesizer.aclose()
    assert 0 < min(gaps) < 0.020


class TestBounds:
    """What happens beyond them: the turn fails, the session goes on."""

    async def test_one_turn_too_many_is_refused_and_room_comes_back(self, fresh):
        second = bytes(SECOND)
        turns = [asyncio.create_task(fresh.transcribe(second)) for _ in range(MOST_TURNS)]
        await asyncio.sleep(0)
        with pytest.raises(PartFailed, match="too many"):
            await fresh.transcribe(second)
        assert await asyncio.gather(*turns) == [""] * MOST_TURNS
        assert await fresh.transcribe(second) == ""

    async def test_turns_nobody_waits_for_any_more_make_room(self, fresh):
        long = bytes(5 * SECOND)
        turns = [asyncio.create_task(fresh.transcribe(long)) for _ in range(MOST_TURNS)]
        await asyncio.sleep(0)
        for turn in turns:
            turn.cancel()
        await asyncio.wait(turns)
        assert await fresh.transcribe(bytes(SECOND)) == ""

    def test_a_decoding_process_that_takes_too_long_is_killed(self):
        process = DecodingProcess()
        with pytest.raises(PartFailed):
            process.decode(bytes(SECOND), seconds=0.01)
        assert wait_until(lambda: gone(process.pid))
        process.forget()


class TestProcesses:
    """They come when needed, are replaced when they die, and go with the transcriber."""

    async def test_warming_up_starts_one_process_and_only_once(self, fresh):
        assert fresh._processes == []
        fresh.warm_up()
        fresh.warm_up()
        process = await first_process(fresh)
        assert await asyncio.to_thread(wait_until, lambda: fresh._turns == 0)
        fresh.warm_up()
        assert await fresh.transcribe(bytes(SECOND)) == ""
        assert fresh._processes == [process]

    async def test_the_second_process_comes_with_a_second_turn_at_once_and_no_third(self, fresh):
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(fresh.transcribe(bytes(2 * SECOND)))
        assert len(fresh._processes) == 2

    async def test_one_that_dies_in_a_turn_costs_this_turn_only(self, fresh):
        turn = asyncio.create_task(fresh.transcribe(bytes(30 * SECOND)))
        first = await first_process(fresh)
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(PartFailed):
            await turn
        assert first not in fresh._processes
        assert gone(first.pid)
        assert await fresh.transcribe(bytes(SECOND)) == ""

    async def test_one_that_dies_between_turns_costs_nothing(self):
        """With one worker, since with two the other one may take the next turn."""
        transcriber = PocketsphinxTranscriber(workers=1)
        assert await transcriber.transcribe(bytes(SECOND)) == ""
        first = await first_process(transcriber)
        os.kill(first.pid, signal.SIGKILL)
        assert await asyncio.to_thread(wait_until, lambda: not first.alive)
        assert await transcriber.transcribe(bytes(SECOND)) == ""
        assert first not in transcriber._processes
        await transcriber.aclose()

    async def test_closing_kills_them_and_fails_what_was_under_way(self, fresh):
        long = bytes(30 * SECOND)
        turns = [asyncio.create_task(fresh.transcribe(long)) for _ in range(MOST_TURNS)]
        await first_process(fresh)
        pids = [process.pid for process in fresh._processes]
        before = time.monotonic()
        await fresh.aclose()
        assert time.monotonic() - before < 5
        outcomes = await asyncio.gather(*turns, return_exceptions=True)
        assert all(isinstance(outcome, PartFailed) for outcome in outcomes)
        assert all(gone(pid) for pid in pids)
        with pytest.raises(PartFailed, match="closed"):
            await fresh.transcribe(bytes(SECOND))
        fresh.warm_up()
        assert fresh._processes == []

    async def test_closing_one_that_never_worked_starts_nothing(self, fresh):
        await fresh.aclose()
        await fresh.aclose()
        assert fresh._processes == []

    async def test_an_interrupt_from_the_keyboard_is_not_theirs(self, transcriber):
        assert await transcriber.transcribe(bytes(SECOND)) == ""
        assert os.getpgid(transcriber._processes[0].pid) != os.getpgid(0)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent")
    def test_they_die_with_a_killed_parent_in_the_middle_of_a_turn(self):
        """Held still, so that they cannot end by themselves when their input does."""
        # Not its errors: the decoding processes would keep that pipe open, and `run` would wait.
        command = [sys.executable, "-c", KILLED_PARENT]
        parent = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        assert parent.returncode == -signal.SIGKILL
        pids = [int(pid) for pid in parent.stdout.split()]
        try:
            assert len(pids) == 2
            assert wait_until(lambda: all(gone(pid) for pid in pids))
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


KILLED_PARENT = """
import asyncio, os, random, signal
from relay.parts.stt import PocketsphinxTranscriber

async def main():
    transcriber, noise = PocketsphinxTranscriber(), random.Random(1).randbytes(30 * 48_000)
    await asyncio.gather(*(transcriber.transcribe(bytes(48_000)) for _ in range(2)))
    turns = [asyncio.create_task(transcriber.transcribe(noise)) for _ in range(2)]
    await asyncio.sleep(0.2)
    assert not any(turn.done() for turn in turns)
    for process in transcriber._processes:
        os.kill(process.pid, signal.SIGSTOP)
    print(*(process.pid for process in transcriber._processes), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""

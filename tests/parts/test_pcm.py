"""PCM16 on its way to providers and from them."""

import asyncio
import io
import math
import wave
from array import array
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.parts.pcm import as_wav, at_16khz, whole_samples
from relay.parts.simple import silence, tone
from tests.own_time import own_time


def test_a_wav_is_one_that_others_read() -> None:
    pcm = tone(250)
    with wave.open(io.BytesIO(as_wav(pcm))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.readframes(file.getnframes()) == pcm


@given(st.lists(st.binary(max_size=7), max_size=20))
async def test_samples_are_whole_whatever_pieces_they_come_in(pieces: list[bytes]) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        for piece in pieces:
            yield piece

    received = [piece async for piece in whole_samples(chunks())]

    sent = b"".join(pieces)
    assert b"".join(received) == sent[: len(sent) & ~1]
    assert all(piece and len(piece) % 2 == 0 for piece in received)


def wave_of(hertz: float, rate: int, count: int) -> "array[int]":
    return array("h", (round(9000 * math.sin(math.tau * hertz * i / rate)) for i in range(count)))


@pytest.mark.parametrize(("hertz", "off"), [(200, 0.01), (1000, 0.02), (3400, 0.02)])
async def test_a_voice_is_the_same_at_16_khz(hertz: int, off: float) -> None:
    made = memoryview(await at_16khz(wave_of(hertz, 24_000, 12_000).tobytes())).cast("h")
    ideal = wave_of(hertz, 16_000, 8_000)

    assert len(made) == 8_000
    wrong = max(abs(one - other) for one, other in zip(made[50:-50], ideal[50:-50], strict=True))
    assert wrong < 9000 * off


async def test_what_16_khz_cannot_hold_does_not_come_back_as_another_sound() -> None:
    made = memoryview(await at_16khz(wave_of(10_000, 24_000, 12_000).tobytes())).cast("h")

    assert max(map(abs, made[50:-50])) < 9000 * 0.02


async def test_loud_sound_is_not_wrapped_around() -> None:
    square = array("h", [32767] * 12 + [-32768] * 12) * 100
    made = memoryview(await at_16khz(square.tobytes())).cast("h")

    assert max(made) == 32767
    assert min(made) == -32768


async def test_silence_and_nothing_stay_what_they_are() -> None:
    assert await at_16khz(silence(300)) == bytes(300 * 32)
    assert await at_16khz(b"") == b""
    assert await at_16khz(b"\1") == b""


async def test_the_event_loop_has_its_turn_meanwhile() -> None:
    gaps: list[float] = []

    async def tick() -> None:
        last = own_time()
        while True:
            await asyncio.sleep(0)
            gaps.append(own_time() - last)
            last = own_time()

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        await at_16khz(tone(2000))
        ticking.cancel()

    assert len(gaps) >= 15
    assert sorted(gaps)[len(gaps) * 9 // 10] < 0.02

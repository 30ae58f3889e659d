"""The capture worklet, driven quantum by quantum, and the base64 conversion of samples."""

import math
from itertools import pairwise

import pytest
from playwright.async_api import Page

from tests.components import needs
from tests.web.sound import RATE

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]

DRIVE = """async ([rate, inputs]) => {
  globalThis.sampleRate = rate;
  globalThis.AudioWorkletProcessor = class { port = { postMessage: (m) => told.push(m) }; };
  globalThis.registerProcessor = (_, made) => { globalThis.Processor = made; };
  await import("/client/capture-worklet.js");
  globalThis.told = [];
  const capture = new Processor();
  for (const input of inputs) capture.process([input === null ? [] : [Float32Array.from(input)]]);
  return told.map(({ samples, level }) => ({ samples: [...samples], level }));
}"""

THERE_AND_BACK = """async () => {
  const { fromBase64, fromFloat, toBase64, toFloat } = await import("/relay-client.js");
  const every = Int16Array.from({ length: 65536 }, (_, n) => n - 32768);
  const back = fromFloat(toFloat(fromBase64(toBase64(every))));
  const view = new Int16Array(every.buffer, 20, 100);
  return {
    wrong: [...back].filter((value, n) => value !== every[n]).length,
    count: back.length,
    text: toBase64(Int16Array.of(1, -2, 32767, -32768)),
    clipped: [...fromFloat(Float32Array.of(2, -2, 1, -1))],
    part: [...fromBase64(toBase64(view))].every((value, n) => value === every[n + 10]),
  };
}"""


async def drive(blank_page: Page, *inputs: list[float] | None, rate: int = RATE) -> list[dict]:
    return list(await blank_page.evaluate(DRIVE, [rate, list(inputs)]))


def quanta(pitch: float, seconds: float, rate: int) -> list[list[float]]:
    """A sine at a device's own rate, as a browser hands it over."""
    step = 2 * math.pi * pitch / rate
    sound = [0.5 * math.sin(step * at) for at in range(int(rate * seconds))]
    return [sound[at : at + 128] for at in range(0, len(sound), 128)]


async def test_S3_81_every_sample_survives_the_way_there_and_back(blank_page):
    """All 65,536 values of PCM16, as floats and as base64, little endian."""
    seen = await blank_page.evaluate(THERE_AND_BACK)
    assert (seen["wrong"], seen["count"]) == (0, 65536)
    assert seen["text"] == "AQD+//9/AIA="
    assert seen["clipped"] == [32767, -32768, 32767, -32768]
    assert seen["part"]


async def test_S3_81_samples_are_gathered_into_chunks_of_20_ms(blank_page):
    ramp = [n / 1024 for n in range(960)]
    chunks = await drive(blank_page, *[ramp[at : at + 128] for at in range(0, 960, 128)])
    assert [len(chunk["samples"]) for chunk in chunks] == [480, 480]
    both = chunks[0]["samples"] + chunks[1]["samples"]
    assert both == [round(value * 32768) for value in ramp]


async def test_loud_samples_are_clipped_and_never_wrap(blank_page):
    (chunk,) = await drive(blank_page, [2.0] * 240 + [-2.0] * 240)
    assert set(chunk["samples"]) == {32767, -32768}
    assert chunk["level"] == pytest.approx(1, abs=1e-4)


async def test_a_microphone_without_a_channel_yet_sends_nothing(blank_page):
    assert await drive(blank_page, None, None, [0.1] * 479, None) == []


async def test_the_level_is_that_of_the_chunk(blank_page):
    loud, quiet = await drive(blank_page, [0.5] * 480, [0.0] * 480)
    assert (loud["level"], quiet["level"]) == (pytest.approx(0.5), 0)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
async def test_a_device_of_another_rate_sounds_the_same(blank_page, rate):
    chunks = await drive(blank_page, *quanta(1000, 0.5, rate), rate=rate)
    samples = [sample for chunk in chunks for sample in chunk["samples"]]
    assert len(samples) == pytest.approx(RATE / 2, abs=600)
    steady = samples[2400:-480]  # 1 kHz is 24 samples a wave
    again = zip(steady, steady[24:], strict=False)
    assert max(abs(early - late) for early, late in again) < 200
    assert max(steady) == pytest.approx(0.5 * 32768, rel=0.02)
    crossings = sum(1 for a, b in pairwise(steady) if a < 0 <= b)
    assert crossings == pytest.approx(len(steady) / 24, abs=1)


async def test_frequencies_above_12_khz_are_filtered_and_not_aliased(blank_page):
    chunks = await drive(blank_page, *quanta(15000, 0.3, 48000), rate=48000)
    assert max(chunk["level"] for chunk in chunks[2:]) < 0.5 / 100  # 40 dB down

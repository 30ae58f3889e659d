"""The capture worklet, driven quantum by quantum."""

import pytest
from playwright.async_api import Page

from tests.components import needs

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

DRIVE = """async (inputs) => {
  globalThis.AudioWorkletProcessor = class { port = { postMessage: (m) => told.push(m) }; };
  globalThis.registerProcessor = (_, made) => { globalThis.Processor = made; };
  await import("/audio/capture-worklet.js");
  globalThis.told = [];
  const { toBase64, fromBase64 } = await import("/audio/pcm.js");
  const capture = new Processor();
  for (const input of inputs) capture.process([input === null ? [] : [Float32Array.from(input)]]);
  return told.map(({ samples, level }) => (
    { samples: [...samples], level, back: [...fromBase64(toBase64(samples))] }));
}"""


async def drive(bench: Page, *inputs: list[float] | None) -> list[dict]:
    return list(await bench.evaluate(DRIVE, list(inputs)))


async def test_samples_are_gathered_into_chunks_of_20_ms(bench):
    ramp = [n / 1000 for n in range(960)]
    chunks = await drive(bench, *[ramp[at : at + 128] for at in range(0, 960, 128)])
    assert [len(chunk["samples"]) for chunk in chunks] == [480, 480]
    both = chunks[0]["samples"] + chunks[1]["samples"]
    assert both == [int(value * 32767) for value in ramp]


async def test_too_loud_is_clipped_and_never_wraps(bench):
    (chunk,) = await drive(bench, [2.0] * 240 + [-2.0] * 240)
    assert set(chunk["samples"]) == {32767, -32767}
    assert chunk["level"] == pytest.approx(1)


async def test_a_microphone_without_a_channel_yet_sends_nothing(bench):
    assert await drive(bench, None, None, [0.1] * 479, None) == []


async def test_the_level_is_the_chunks_own(bench):
    loud, quiet = await drive(bench, [0.5] * 480, [0.0] * 480)
    assert (loud["level"], quiet["level"]) == (pytest.approx(0.5), 0)


async def test_samples_survive_base64(bench):
    (chunk,) = await drive(bench, [(n - 240) / 240 for n in range(480)])
    assert chunk["back"] == chunk["samples"]

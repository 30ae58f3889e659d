"""What a real browser's MediaRecorder records is understood, whole and in slices."""

import base64

import pytest
from playwright.async_api import async_playwright

from relay.audio.child import decode
from tests.audio.made import pitch
from tests.components import needs, require

RECORD = """async slice => {
  const context = new AudioContext({sampleRate: 48000});
  const tone = new OscillatorNode(context, {frequency: 440});
  const target = context.createMediaStreamDestination();
  tone.connect(target);
  tone.start();
  await context.resume();
  const recorder = new MediaRecorder(target.stream, {mimeType: "audio/webm;codecs=opus"});
  const pieces = [];
  recorder.ondataavailable = event => pieces.push(event.data);
  const stopped = new Promise(resolve => { recorder.onstop = resolve; });
  slice ? recorder.start(slice) : recorder.start();
  await new Promise(resolve => setTimeout(resolve, 2000));
  recorder.stop();
  await stopped;
  await context.close();
  const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
  return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
}"""


@needs("chromium")
@pytest.mark.parametrize("slice_ms", [0, 100])
async def test_S0_33_what_chromium_records_is_understood(slice_ms: int) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require("chromium"),
            args=["--autoplay-policy=no-user-gesture-required"],
        )
        page = await browser.new_page()
        recorded = base64.b64decode(await page.evaluate(RECORD, slice_ms))
        await browser.close()

    heard = decode(recorded, None)

    assert len(heard) > 1.5 * 48_000
    assert abs(pitch(heard) - 440) <= 1

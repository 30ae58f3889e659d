"""The example page for LiveKit rooms, in Chromium, with a client that answers as the door does."""

import json
import time
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser

from relay.audio.mp3 import Mp3Stream
from relay.doors.livekit.packets import CHUNK, Packets, TranslationRequest
from tests.components import needs
from tests.scenarios.stage import SPEECH

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]
PAGE = Path(__file__).parents[2] / "docs" / "examples" / "livekit.html"
CLIENT = """
export const RoomEvent = { DataReceived: 'dataReceived' };
export class Room {
  on(event, callback) { this.callback = callback; }
  async connect(url, token) { window.joined = [url, token]; }
  localParticipant = { publishData: async (data, { reliable }) => {
    const request = JSON.parse(new TextDecoder().decode(data));
    window.asked = { ...request, reliable };
    for (const packet of PACKETS) {
      const told = { ...packet, requestId: request.requestId };
      this.callback(new TextEncoder().encode(JSON.stringify(told)));
    }
  } };
}
"""


def packets() -> list[bytes]:
    """What the door sends for one request."""
    request = TranslationRequest("r", "Good morning.", "Spanish", "specified")
    made, now = Packets(request), int(time.time() * 1000)
    encoder = Mp3Stream()
    sound = encoder.encode(SPEECH * 4) + encoder.finish()
    starts = range(0, len(sound), CHUNK)
    chunks = [made.sound(sound[at : at + CHUNK], is_final=at == starts[-1]) for at in starts]
    return [
        *made.begun(now),
        *made.translated("Buenos días.", now),
        made.streaming(now),
        *chunks,
        *made.completed("Buenos días.", len(sound), now),
    ]


async def test_S1_28_the_page_asks_and_plays_the_answer(browser: Browser) -> None:
    told = json.dumps([json.loads(packet) for packet in packets()])
    script = CLIENT.replace("PACKETS", told)

    async def page_file(_request: web.Request) -> web.Response:
        return web.Response(text=PAGE.read_text(), content_type="text/html")

    async def client_file(_request: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

    app = web.Application()
    app.add_routes([web.get("/", page_file), web.get("/livekit-client.esm.mjs", client_file)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    page = await browser.new_page()
    try:
        await page.goto(f"http://127.0.0.1:{port}/#url=wss://room&token=t")
        await page.wait_for_function("() => window.joined?.[0] === 'wss://room'")
        await page.get_by_role("button", name="Say it").click()
        await page.get_by_text("Buenos días.").wait_for()
        await page.wait_for_function("() => document.querySelector('audio').currentTime > 0.2")
        asked = await page.evaluate("() => window.asked")
    finally:
        await page.close()
        await runner.cleanup()

    assert asked["type"] == "translation_request"
    assert asked["targetLanguage"] == "Spanish"
    assert asked["reliable"] is True

"""Plays a minute of speech over a network that stalls and records the output, sample by sample."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from relay.http.pages import Pages
from relay.http.server import Health, HttpServices, serve
from tests.web.caller import Caller, calling
from tests.web.chromium import chromium
from tests.web.far_end import FarEnd, answer_begins, answer_ends, answer_goes_on, far_end
from tests.web.sound import syllables

SECONDS = 60
PIECE = 0.1  # s of sound in one event
STALL = 0.2  # s
EVERY = 5  # s between two stalls
PERIOD = 30000  # after so many samples the sound repeats: every sample says which one it is

WATCH = """() => {
  window.arrivals = [];
  window.reports = [];
  const clock = client.output.context;
  client.on("event", ({ type }) => {
    if (type === "response.output_audio.delta") arrivals.push(clock.currentTime * 1000);
  });
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function report(text) {
    const event = JSON.parse(text);
    if (event.type === "relay.playback") {
      const onItsWay = (clock.baseLatency + clock.outputLatency) * 1000;
      reports.push([clock.currentTime * 1000, event.played_ms + onItsWay]);
    }
    return send.call(this, text);
  };
}"""

READ = """() => {
  const frames = heard.flatMap(({ samples }) => [...samples]);
  const first = frames.findIndex(Boolean);
  const last = frames.findLastIndex(Boolean);
  const gaps = [];
  const positions = []; // how many samples had been heard, every 24 frames
  let [wrong, count, silent] = [0, 0, 0];
  for (let at = first; at <= last; at += 1) {
    if ((at - first) % 24 === 0) positions.push(count);
    if (frames[at] === 0) { silent += 1; continue; }
    if (silent > 0) gaps.push(silent / 24);
    silent = 0;
    if (frames[at] !== (count % 30000) + 1) wrong += 1;
    count += 1;
  }
  const from = (heard[0].from + first) / 24;
  const drifts = reports.slice(0, -1)
    .map(([at, played]) => played - positions[Math.round(at - from)] / 24)
    .filter(Number.isFinite);
  return { gaps, wrong, count, drifts, arrivals };
}"""


@dataclass
class Heard:
    """What came out of the loudspeaker, in ms of its own clock."""

    gaps: list[float]
    wrong: int
    count: int
    drifts: list[float]
    arrivals: list[float]
    said: int = 0

    @property
    def lateness(self) -> float:
        """How far behind its time the latest piece came."""
        first = self.arrivals[0]
        return max(at - first - n * PIECE * 1000 for n, at in enumerate(self.arrivals))


def numbered(seconds: float) -> bytes:
    """Sound without a zero, in which every sample has its number."""
    count = int(24000 * seconds)
    return b"".join((n % PERIOD + 1).to_bytes(2, "little") for n in range(count))


async def speak(end: FarEnd) -> None:
    """A minute in real time, without a lead; every few seconds the network stands still."""
    sound = numbered(SECONDS)
    step = int(24000 * PIECE) * 2
    await answer_begins(end, "R1", "A1", None)
    clock = asyncio.get_running_loop().time
    start = clock()
    for n, at in enumerate(range(0, len(sound), step)):
        due = n * PIECE
        stalled = due % EVERY < STALL and due > 1
        late = EVERY * (due // EVERY) + STALL if stalled else due
        await asyncio.sleep(max(0.0, start + late - clock()))
        await answer_goes_on(end, "R1", "A1", "", sound[at : at + step])
    await answer_ends(end, "R1", "A1", "A minute.")


async def minute(folder: Path) -> Heard:
    """Play it in a browser of its own."""
    pages = Pages(dict)
    services = HttpServices(lambda: Health(0, 1, 0.0), lambda: b"", pages=pages)
    server = await serve(services, "localhost", 0)
    async with (
        chromium(syllables(folder / "a.wav")) as browser,
        far_end() as end,
        calling(browser, f"http://localhost:{server.port}/#code={pages.key.code}", end) as caller,
    ):
        heard = await listened(caller, end)
    await server.aclose()
    return heard


async def listened(caller: Caller, end: FarEnd) -> Heard:
    await caller.connect()
    await end.be_a_relay()
    await caller.tap()
    await caller.do(WATCH)
    await speak(end)
    await caller.until("client.counters.played === 60 * 24000")
    await caller.played()
    return Heard(**await caller.do(READ), said=end.reports[-1]["played_ms"])

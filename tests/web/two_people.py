"""A learner's browser and a coach's, each with its own microphone, connected to one relay."""

import base64
import os
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from relay.app import App
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import Parts, TranscriptionRequest
from relay.parts.simple import Script, scripted_parts
from tests.web.chromium import Screen, chromium, screen_of
from tests.web.far_end import PATIENCE
from tests.web.sound import RATE, loudness, read, silence, syllables, write
from tests.web.whole import relay_before_openai

TAP = Path(__file__).with_name("tap_worklet.js").read_text()
SPEAK = """
const recording = Uint8Array.from(atob("%s"), (sign) => sign.charCodeAt(0));
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  const microphone = context.createMediaStreamDestination();
  const buffer = await context.decodeAudioData(recording.slice().buffer);
  window.speak = () => {
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(microphone);
    source.start();
  };
  return microphone.stream;
};
"""
"""The learner's microphone: silent until the test has her speak, so that no machine is too slow."""
PITCHED_HIGH = 950
"""Zero crossings a second between the learner's voice (some 500) and the coach's (1500)."""
PICTURES = os.environ.get("RELAY_PICTURES")
"""Folder for the pictures of the README; unset, none are taken."""
HEAR = """async (script) => {
  const { output } = relayPage.client;
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  await output.context.audioWorklet.addModule(address);
  const tap = new AudioWorkletNode(output.context, "tap");
  window.heard = [];
  tap.port.onmessage = ({ data: { from, samples } }) => {
    const { currentTime } = output.context;
    const now = performance.timeOrigin + performance.now();
    heard.push({ at: now - (currentTime - from / 24000) * 1000, samples: [...samples] });
  };
  output.connect(tap).connect(output.context.destination);
}"""


@dataclass
class TwoVoices:
    """A transcriber that tells the speaker by the pitch and takes the words from the script."""

    learner: Sequence[str]
    coach: Sequence[str]
    said: tuple[int, int] = (0, 0)
    name: str = "two voices"
    languages: tuple[str, ...] = ()

    async def prepare(self) -> None:
        pass

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        mine, theirs = self.said
        if pitch(request.pcm) > PITCHED_HIGH:
            self.said = mine, theirs + 1
            yield self.coach[min(theirs, len(self.coach) - 1)]
        else:
            self.said = mine + 1, theirs
            yield self.learner[min(mine, len(self.learner) - 1)]

    async def aclose(self) -> None:
        pass


def pitch(pcm: bytes) -> float:
    """Zero crossings a second, of the loud parts."""
    samples = array("h", pcm)
    loud = [one for one in samples if abs(one) > 400]
    crossings = sum((a < 0) != (b < 0) for a, b in pairwise(loud))
    return crossings / max(1, len(loud)) * RATE


def two_voices(learner: Sequence[str], coach: Sequence[str], replies: Sequence[str]) -> Parts:
    parts = scripted_parts(Script(replies=tuple(replies)))
    return replace(parts, transcriber=TwoVoices(learner, coach))


def learners_microphone(folder: Path) -> str:
    """A script that puts it in the place of the browser's."""
    recording = syllables(folder / "learner.wav", pause=0).read_bytes()
    return SPEAK % base64.b64encode(recording).decode()


def coachs_voice(path: Path) -> Path:
    """The same sounds three times as high, and so in a third of the time; twice, then silence."""
    low = array("h", read(syllables(path, pause=0)))
    return write(path, low[::3].tobytes() * 2 + silence(2.5))


@dataclass
class Two:
    """Both pages. The audio that the learner hears is recorded."""

    app: App
    learner: Screen
    coach: Screen

    async def call(self) -> None:
        """The learner presses Talk, the coach opens the call."""
        await self.learner.open()
        await self.learner.page.get_by_role("button", name="Talk").click()
        await self.coach.open()
        await self.coach.page.locator("#live li button").click(timeout=PATIENCE * 1000)
        await self.learner.page.wait_for_function("() => window.relayPage.client?.output")
        await self.learner.page.evaluate(HEAR, TAP)
        await self.learner.page.wait_for_function("() => window.speak")

    async def speak(self) -> None:
        """The learner says something: two seconds that the transcriber has words for."""
        await self.learner.page.evaluate("() => speak()")

    async def row(self, kind: str, text: str) -> None:
        """Wait until the coach reads this."""
        await self.coach.row(kind, text)

    async def stands(self, kind: str) -> None:
        """Wait until the page shows this state of the call."""
        await self.coach.page.locator(f"#standing[data-kind={kind}]").wait_for(
            timeout=PATIENCE * 1000
        )

    async def heard(self, since: float, until: float | None = None) -> list[tuple[float, float]]:
        """What the learner heard in 5 ms pieces: Unix ms at the end of each, and its loudness."""
        chunks: list[dict[str, Any]] = await self.learner.page.evaluate(
            "since => heard.filter(({ at }) => at > since - 200)", since
        )
        pieces = []
        for chunk in chunks:
            for start in range(0, len(chunk["samples"]), 120):
                at = chunk["at"] + (start + 120) / 24
                if since < at and (until is None or at <= until):
                    piece = array("h", chunk["samples"][start : start + 120]).tobytes()
                    pieces.append((at, loudness(piece)))
        return pieces

    async def picture(self, name: str, of: Screen | None = None) -> None:
        """Take a picture for the README, where pictures are asked for."""
        if PICTURES is not None:
            page = (of or self.coach).page
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            await page.wait_for_timeout(250)
            await page.screenshot(path=Path(PICTURES) / f"{name}.png")


@asynccontextmanager
async def two_people(folder: Path, parts: Parts, burst: float = 4.0) -> AsyncIterator[Two]:
    """A relay before a simulated OpenAI, and two browsers on its pages."""
    his = coachs_voice(folder / "coach.wav")
    size = {"viewport": {"width": 1180, "height": 740}}
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(relay_before_openai(folder, parts, Pace(burst=burst)))
        learners = await stack.enter_async_context(chromium(his))
        coachs = await stack.enter_async_context(chromium(his))
        # The tap is a blob, which the page's own policy forbids.
        learner = await stack.enter_async_context(
            screen_of(
                learners,
                app.page_address(),
                bypass_csp=True,
                viewport={"width": 900, "height": 740},
            )
        )
        await learner.page.add_init_script(learners_microphone(folder))
        coach = await stack.enter_async_context(
            screen_of(coachs, app.page_address("coach"), **size)
        )
        yield Two(app, learner, coach)

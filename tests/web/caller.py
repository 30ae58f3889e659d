"""A `RelayClient` that a test drives, with the events that it emitted."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.web.chromium import Screen, screen_of
from tests.web.far_end import PATIENCE, FarEnd

TAP = Path(__file__).with_name("tap_worklet.js").read_text()

BEGIN = """async () => {
  Object.assign(window, await import("/relay-client.js"));
  window.told = [];
  window.sent = [];
  window.tokens = ["t.0.x"];
  window.getToken = async () => {
    if (tokens[0] === "fails") throw new Error("no token");
    return tokens.length > 1 ? tokens.shift() : tokens[0];
  };
  window.client = new RelayClient();
  const kinds = ["state", "transcript", "latency", "microphone", "function_call", "session",
    "paused", "resumed", "coach", "budget", "dropped", "warning", "reconnecting", "reconnected",
    "error", "ended"];
  const plain = (value) => (value instanceof Error
    ? { code: value.code, message: value.message, advice: value.advice } : value);
  for (const kind of kinds) {
    client.on(kind, (detail) => told.push([kind, JSON.parse(JSON.stringify(
      detail instanceof Error ? plain(detail) : detail, (_, value) => plain(value)))]));
  }
}"""

TAPPED = """async (script) => {
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  await client.output.context.audioWorklet.addModule(address);
  const tap = new AudioWorkletNode(client.output.context, "tap");
  window.heard = [];
  tap.port.onmessage = ({ data }) => heard.push(data);
  client.output.connect(tap).connect(client.output.context.destination);
}"""


@dataclass
class Caller:
    """One client in one page, and the far end that it calls."""

    screen: Screen
    end: FarEnd

    @property
    def page(self) -> Page:
        return self.screen.page

    async def do(self, script: str, argument: object = None) -> Any:
        """Run `(given) => …` in the page, where `client` and `told` are."""
        return await self.page.evaluate(script, argument)

    async def dial(self, **wishes: Any) -> None:
        """Begin to connect; the token comes from `tokens`."""
        wishes = {"url": self.end.url, **wishes}
        await self.do(
            """(wishes) => {
              window.connected = client.connect({ getToken, ...wishes })
                .then(() => "yes", ({ code }) => code);
            }""",
            wishes,
        )

    async def connect(self, **wishes: Any) -> None:
        """Connect, and be answered as by an engine."""
        await self.dial(**wishes)
        await self.end.answer()
        assert await self.do("() => connected") == "yes"

    async def tap(self) -> None:
        """Write down what is heard from now on."""
        await self.do(TAPPED, TAP)

    async def played(self) -> None:
        """Wait until all is played, and the tap has written it down."""
        await self.until("client.state === 'listening'")
        await self.do("() => { window.doneAt = client.output.context.currentTime * 24000; }")
        await self.until("heard.at(-1).from > doneAt")

    async def until(self, condition: str) -> None:
        """Wait until an expression in the page is true."""
        await self.page.wait_for_function(f"() => {condition}", timeout=PATIENCE * 1000)

    async def told(self, kind: str) -> list[Any]:
        """What was told of this kind so far."""
        every = await self.do("() => told")
        return [detail for name, detail in every if name == kind]

    async def hears_of(self, kind: str, count: int = 1) -> Any:
        """Wait until this kind was told so often; the last detail."""
        quoted = json.dumps(kind)
        await self.until(f"told.filter(([kind]) => kind === {quoted}).length >= {count}")
        return (await self.told(kind))[-1]


@asynccontextmanager
async def calling(browser: Browser, site: str, end: FarEnd) -> AsyncIterator[Caller]:
    """A fresh page of this site with a client in it, clicked at so that it may play."""
    # The tap is a blob, which the site's own policy forbids.
    async with screen_of(browser, site, bypass_csp=True) as screen:
        await screen.open()
        await screen.page.mouse.click(5, 5)
        await screen.page.evaluate(BEGIN)
        yield Caller(screen, end)

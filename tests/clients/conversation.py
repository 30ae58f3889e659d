"""What is said in the conversation that every client holds, and the places where it is held."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import FunctionCall, Reply
from relay.parts.simple import Script, scripted_parts
from relay.simulator import SimulatorOptions, simulate
from tests.edge.front import in_front
from tests.scenarios.stage import SILENCE, SPEECH, stage, token
from tests.websocket.certificate import make_certificate

LONG = " ".join(3 * ["Rhabarberbarbara" * 8])
"""Over twenty seconds of three words: a client has all of them by the first piece of sound, so what
is left of an answer that is stopped does not depend on when it was."""
SCRIPT = Script(
    heard=("Good morning.", "One moment."),
    replies=(
        "Good morning to you.",
        LONG,
        "I am listening.",
        "In writing, then.",
        Reply((FunctionCall("weather", {"city": "Oslo"}),)),
        "Rain in Oslo.",
        LONG,
    ),
)
HISTORY = [
    ("user", "Good morning."),
    ("assistant", "Good morning to you."),
    ("user", "Tell me of Barbara."),
    ("assistant", ""),
    ("user", "One moment."),
    ("assistant", "I am listening."),
    ("user", "And now in writing."),
    ("assistant", "In writing, then."),
    ("user", "What is the weather in Oslo?"),
    ("function_call", 'weather {"city":"Oslo"}'),
    ("function_call_output", "rain"),
    ("assistant", "Rain in Oslo."),
    ("user", "Once more of Barbara."),
    ("assistant", LONG),
]
KEPT = [
    (role, text or LONG)  # clients of agents keep the words that they have of what was cut
    for role, text in HISTORY
    if role != "function_call_output"
]
SAID_AGAIN = [("user", "Me again."), ("assistant", "Good morning to you.")]
SAID = SPEECH + 9 * SILENCE
"""A turn: semantic_vad, which some clients ask for, is patient."""
BURST = 5.0
"""An answer takes a fifth of its time, as OpenAI's do: time enough to stop a long one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client calls: `origin` is HTTP's, and a `certificate` is to be believed."""

    origin: str
    key: str
    certificate: Path | None = None

    @property
    def url(self) -> str:
        """The address of the Realtime API as a WebSocket's."""
        return self.origin.replace("http", "ws", 1) + "/v1/realtime?model=gpt-realtime-2.1"


@asynccontextmanager
async def direct(folder: Path) -> AsyncIterator[Place]:
    """The simulator itself."""
    parts = scripted_parts(SCRIPT)
    async with await simulate(SimulatorOptions(parts, pace=Pace(burst=BURST))) as simulator:
        yield Place(f"http://127.0.0.1:{simulator.port}", "sk-direct")


@asynccontextmanager
async def direct_by_tls(folder: Path) -> AsyncIterator[Place]:
    """The simulator itself, for clients that speak nothing but TLS."""
    pem = folder / "simulator.pem"
    pem.write_bytes(make_certificate())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    options = SimulatorOptions(scripted_parts(SCRIPT), pace=Pace(burst=BURST), ssl_context=tls)
    async with await simulate(options) as simulator:
        yield Place(f"https://127.0.0.1:{simulator.port}", "sk-direct", pem)


@asynccontextmanager
async def relayed(folder: Path) -> AsyncIterator[Place]:
    """A relay before the simulator."""
    async with stage(folder / "relay", SCRIPT, burst=BURST) as here:
        yield Place(here.voice.replace("ws", "http", 1), token())
        await here.emptied()
        assert here.simulator is not None
        keys = {seen["authorization"] for seen in here.simulator.headers}
        assert keys == {"Bearer sk-simulated-provider-key"}, "by way of the relay, every time"
        assert len(here.simulator.headers) == 2, "one call, and one more after it was over"


@asynccontextmanager
async def relayed_by_tls(folder: Path) -> AsyncIterator[Place]:
    """nginx, a relay and the simulator."""
    async with (
        stage(folder / "relay", SCRIPT, burst=BURST) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        yield Place(front.url, token(), front.folder / "certificate.pem")
        await here.emptied()
        assert here.simulator is not None
        assert len(here.simulator.headers) == 2, "one call, and one more after it was over"

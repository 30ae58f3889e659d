"""Whether the voice could be opened: a session is begun and ended, which costs nothing."""

import asyncio
from dataclasses import dataclass
from typing import Final

from relay.check.ears import Deaf, Ears
from relay.check.finding import Finding, fail, ok
from relay.interfaces import Call, Engine
from relay.realtime.endings import ENGINE_CLOSED, ENGINE_TIMED_OUT, NO_PROVIDER_KEY, Refused

USER: Final = "relay-check"


@dataclass(frozen=True, slots=True)
class Names:
    """What the settings are called that lead to a voice elsewhere."""

    key: str
    address: str
    model: str


async def engine(engine: Engine, model: str, seconds: float, names: Names) -> Finding:
    """Begin a session within `seconds`."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(seconds):
            await _begin(engine, model)
    except Refused as refused:
        return fail(f"{engine.name}: {refused.ending.reason}", _mend(refused, names))
    except Deaf as deaf:
        mend = f"see {names.key}, {names.address} and {names.model}"
        return fail(f"{engine.name} refuses the session: {deaf}", mend)
    except TimeoutError:
        return fail(f"{engine.name}: no session in {seconds:.0f} s", f"see {names.address}")
    took = round((loop.time() - began) * 1000)
    return ok(f"{engine.name} began a session after {took} ms")


async def _begin(engine: Engine, model: str) -> None:
    peer = await engine.open(Call("relay-check", model, USER))
    ears = Ears()
    peer.attach(ears)
    try:
        await ears.until("session.created")
    finally:
        peer.close(1000, "")


def _mend(refused: Refused, names: Names) -> str:
    if refused.ending is NO_PROVIDER_KEY:
        return f"set {names.key}"
    if refused.ending in (ENGINE_CLOSED, ENGINE_TIMED_OUT):
        return f"is {names.address} right, and may this machine reach it?"
    return refused.ending.advice

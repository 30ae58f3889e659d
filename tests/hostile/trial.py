"""One trial: a call, newcomers, and an attack on the relay that serves them."""

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.hostile.attacks import Attack
from tests.hostile.callers import MeasuredCall, Newcomers, measured_call
from tests.hostile.outcome import GIVEN_BACK_WITHIN, LEFT_WITHIN, MEMORY_MIB, Outcome
from tests.hostile.programs import Attacker, Relay, attacker, relay_for

SETTLES: Final = 1.0
GRACE: Final = 30.0
"""Seconds beyond its time that an attack may take, also one that a stalled relay holds up."""
OFTEN: Final = 0.2
AFTERWARDS: Final = 1.0
"""Seconds after an attack whose round trips count as well."""


async def tried(attack: Attack, seconds: float) -> Outcome:
    """Carry it out for so long, and see what it does to the others."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        async with (
            attacker(attack.name) as one,
            relay_for(Path(folder), attack) as relay,
            measured_call(relay.voice, relay.issuer) as call,
        ):
            await asyncio.sleep(SETTLES)
            return await _tried(attack, seconds, one, (relay, call))


async def _tried(
    attack: Attack, seconds: float, one: Attacker, others: tuple[Relay, MeasuredCall]
) -> Outcome:
    relay, call = others
    newcomers, enough = Newcomers(relay.voice, relay.issuer), asyncio.Event()
    before, logged, began = relay.mib, relay.logged.count("\n"), time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(newcomers.come(enough))
        most = tasks.create_task(_most(relay, enough))
        done = await one.attack(relay, seconds, seconds + GRACE)
        ended = time.monotonic()
        enough.set()
    lines = relay.logged.count("\n") - logged
    during = list(newcomers.let_in), list(newcomers.refusals)
    back = await _let_in_again(newcomers)
    left = 0 if attack.lingers else await _left(relay)
    after = await _given_back(relay, before)
    return Outcome(
        name=attack.name,
        seconds=ended - began,
        round_trips=call.round_trips(began, ended + AFTERWARDS),
        ending=call.ending,
        let_in=during[0],
        refusals=during[1],
        shuts_out=attack.shuts_out,
        back=back,
        left=left,
        before=before,
        most=most.result(),
        after=after,
        lines=lines,
        done=done,
    )


async def _most(relay: Relay, enough: asyncio.Event) -> float:
    """The most memory that was seen."""
    most = relay.mib
    while not enough.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), OFTEN)
        most = max(most, relay.mib)
    return most


async def _let_in_again(newcomers: Newcomers) -> bool:
    latest = time.monotonic() + LEFT_WITHIN
    while time.monotonic() < latest:
        if await newcomers.one(0):
            return True
        await asyncio.sleep(OFTEN)
    return False


async def _left(relay: Relay) -> int | None:
    """Sessions beside the measured call that are still there when the time for leaving is over."""
    latest = time.monotonic() + GIVEN_BACK_WITHIN
    while True:
        sessions = await relay.sessions()
        if time.monotonic() > latest or (sessions is not None and sessions <= 1):
            return None if sessions is None else max(0, sessions - 1)
        await asyncio.sleep(OFTEN)


async def _given_back(relay: Relay, before: float) -> float:
    """The memory once it is within bounds again, or when the time for that is over."""
    latest = time.monotonic() + GIVEN_BACK_WITHIN
    while (mib := relay.mib) - before > MEMORY_MIB and time.monotonic() < latest:
        await asyncio.sleep(OFTEN)
    return mib

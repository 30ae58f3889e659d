"""One trial: a call, newcomers, and an attack on the relay that serves them."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.hostile.attacks import Attack
from tests.hostile.callers import MeasuredCall, Newcomers, measured_call
from tests.hostile.outcome import GIVEN_BACK_WITHIN, LEFT_WITHIN, MEMORY_MIB, Outcome
from tests.hostile.own_clock import children, own_clock, work_clock
from tests.hostile.programs import Attacker, Relay, attacker, cores, relay_for

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
    engines = [] if relay.engine is None else children(relay.engine)  # the call's own is there
    clock = own_clock([os.getpid(), relay.pid, *engines], cores())
    call.clocks = clock, work_clock(relay.pid)
    newcomers = Newcomers(relay.voice, relay.issuer, clock=clock)
    enough = asyncio.Event()
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
    left = await _left(relay, clock)
    after = await _given_back(relay, before, clock)
    return Outcome(
        name=attack.name,
        seconds=ended - began,
        round_trips=call.round_trips(began, ended + AFTERWARDS),
        own_trips=call.own_round_trips(began, ended + AFTERWARDS),
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
    latest = newcomers.clock() + LEFT_WITHIN
    while newcomers.clock() < latest:
        if await newcomers.one(0):
            return True
        await asyncio.sleep(OFTEN)
    return False


async def _left(relay: Relay, clock: Callable[[], float]) -> int | None:
    """Sessions beside the measured call that are still there when the time for leaving is over."""
    latest = clock() + GIVEN_BACK_WITHIN
    while True:
        sessions = await relay.sessions()
        if clock() > latest or (sessions is not None and sessions <= 1):
            return None if sessions is None else max(0, sessions - 1)
        await asyncio.sleep(OFTEN)


async def _given_back(relay: Relay, before: float, clock: Callable[[], float]) -> float:
    """The memory once it is within bounds again, or when the time for that is over."""
    latest = clock() + GIVEN_BACK_WITHIN
    while (mib := relay.mib) - before > MEMORY_MIB and clock() < latest:
        await asyncio.sleep(OFTEN)
    return mib

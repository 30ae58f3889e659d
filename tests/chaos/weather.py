"""What happens to the relay and to the project meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.chaos.programs import Relay
from tests.supabase.misbehaviour import FAULTS, Fault
from tests.supabase.project import Project

CALM = (0.5, 2.0)
SPELL = (0.5, 2.5)
HANG = (1.0, 9.0)
"""Beyond the store's own patience, now and then."""
LIFE = (4.0, 14.0)
"""Seconds of a process that has begun to listen."""
SHORT_LIFE = 0.4
"""Every fifth is killed in the middle of what it makes up for, the next one before it listens."""
UNBORN = (0.2, 1.5)
"""Seconds of that one, which opens the journal meanwhile."""
Spell = Callable[[], Awaitable[None]]


class Weather:
    """Crashes the database and the API, lets the gateway misbehave in each of its ways, again."""

    def __init__(self, project: Project) -> None:
        self.seen: Counter[str] = Counter()
        self._project = project
        self._chance = random.Random(1)

    async def blow(self, stop: asyncio.Event) -> None:
        """One trouble after the other until told to stop; then all is well."""
        spells: list[tuple[str, Spell]] = [("database", self._database), ("API", self._api)] * 2
        spells += [("mixed", self._mixed)] * 2
        spells += [(fault, self._gateway(fault)) for fault in FAULTS]
        while not stop.is_set():
            self._chance.shuffle(spells)
            for name, spell in spells:
                if stop.is_set():
                    break
                await spell()
                self.seen[name] += 1
                await asyncio.sleep(self._chance.uniform(*CALM))

    async def _database(self) -> None:
        await self._project.stop_database()
        await asyncio.sleep(self._chance.uniform(*SPELL))
        await self._project.start_database()

    async def _api(self) -> None:
        await self._project.stop_api()
        await asyncio.sleep(self._chance.uniform(*SPELL))
        await self._project.start_api()

    async def _mixed(self) -> None:
        self._project.misbehave.sometimes(0.5, seed=self._chance.randrange(1000))
        await asyncio.sleep(2 * self._chance.uniform(*SPELL))
        self._project.misbehave.stop()

    def _gateway(self, fault: Fault) -> Spell:
        async def spell() -> None:
            self._project.misbehave.always(fault)
            await asyncio.sleep(self._chance.uniform(*(HANG if fault == "hang" else SPELL)))
            self._project.misbehave.stop()

        return spell


async def kill_often(relay: Relay, stop: asyncio.Event, kills: int) -> None:
    """Kill and restart until told to stop, and so often at least."""
    chance = random.Random(2)
    while not stop.is_set() or len(relay.killed_at) < kills:
        short = len(relay.killed_at) % 5 == 4
        await asyncio.sleep(SHORT_LIFE if short else chance.uniform(*LIFE))
        await relay.kill()
        if short:
            await relay.kill_unborn(chance.uniform(*UNBORN))
        await relay.start()

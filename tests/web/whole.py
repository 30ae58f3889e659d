"""A whole relay that serves the page, with the OpenAI engine connected to the simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.app import App, running
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import Parts
from relay.simulator import SimulatorOptions, simulate
from tests.scenarios.stage import loaded


@asynccontextmanager
async def relay(folder: Path, **settings: Any) -> AsyncIterator[App]:
    async with running(replace(loaded(folder, **settings), pages=True)) as app:
        yield app


@asynccontextmanager
async def relay_before_openai(
    folder: Path, parts: Parts, pace: Pace | None = None, **settings: Any
) -> AsyncIterator[App]:
    """Run a relay whose OpenAI engine is connected to the simulator."""
    options = SimulatorOptions(parts=parts, pace=pace)
    async with (
        await simulate(options) as simulator,
        relay(
            folder,
            relay_engine="openai",
            openai_api_key="sk-simulated-provider-key",
            openai_base_url=simulator.base_url,
            **settings,
        ) as app,
    ):
        yield app

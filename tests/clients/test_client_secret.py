"""Clients that are given a client secret for a key: the conversation is the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest

from tests.clients import test_openai_agents, test_openai_python
from tests.clients.conversation import BURST, HISTORY, KEPT, SAID_AGAIN, SCRIPT, Place
from tests.components import needs
from tests.scenarios.stage import stage, token

pytestmark = pytest.mark.clients


@asynccontextmanager
async def by_secret(folder: Path) -> AsyncIterator[Place]:
    """A relay before the simulator; the key is a secret that its HTTP listener made."""
    async with stage(folder / "relay", SCRIPT, burst=BURST) as here:
        async with openai.AsyncOpenAI(base_url=f"{here.http}/v1", api_key=token()) as backend:
            made = await backend.realtime.client_secrets.create()
        yield Place(here.voice.replace("ws", "http", 1), made.value)
        await here.emptied()


async def test_python_talks_with_a_secret(tmp_path: Path) -> None:
    async with by_secret(tmp_path) as place:
        call, again = await test_openai_python.hold(place)
    assert (call.history, again.history) == (HISTORY, SAID_AGAIN)


@needs("openai_agents")
async def test_agents_for_python_talk_with_a_secret(tmp_path: Path) -> None:
    async with by_secret(tmp_path) as place:
        call, again = await test_openai_agents.hold(place, tmp_path)
    assert (call.history, again.history) == (KEPT, SAID_AGAIN)

"""Fixtures: a fake Supabase Auth server on a real socket."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.auth.supabase import FakeAuth, serve


@pytest.fixture
async def auth() -> AsyncIterator[FakeAuth]:
    fake = FakeAuth()
    server = await serve(fake)
    try:
        yield fake
    finally:
        if fake.gate is not None:
            fake.gate.set()
        await server.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session

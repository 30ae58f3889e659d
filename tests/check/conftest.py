"""An authentication server for the checks that ask one."""

from collections.abc import AsyncIterator

import pytest

from tests.auth.supabase import FakeAuth, serve


@pytest.fixture
async def auth() -> AsyncIterator[FakeAuth]:
    fake = FakeAuth()
    server = await serve(fake)
    yield fake
    await server.close()

"""An engine is waited for as long as its session lasts."""

import asyncio

import pytest

from relay.interfaces import EngineRequest
from relay.realtime.endings import ENGINE_TIMED_OUT, SessionRefused
from relay.session.session import open_engine
from relay.tasks import Tasks
from tests.fake_connection import FakePeer
from tests.session.fakes import SESSION, FakeEngine, settle

CALL = EngineRequest(SESSION, "m", "u1")


async def test_who_answers_is_reached_and_who_refuses_raises() -> None:
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tasks, peer = Tasks(lambda *_: None), FakePeer()
    assert await open_engine(FakeEngine(peer).open(CALL), ended, tasks) is peer
    with pytest.raises(SessionRefused):
        await open_engine(FakeEngine(ENGINE_TIMED_OUT).open(CALL), ended, tasks)


async def test_a_session_that_ends_first_stops_reaching() -> None:
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    engine, tasks = FakeEngine(None), Tasks(lambda *_: None)
    waiting = asyncio.ensure_future(open_engine(engine.open(CALL), ended, tasks))
    await settle()
    ended.set_result(None)
    assert await waiting is None
    assert engine.cancelled

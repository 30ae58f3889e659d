"""What a session of the session API leaves behind when it ends: nothing."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from relay.calls.http import CallRefused
from relay.calls.turns import TurnClient
from relay.doors.sessions.session import CoachingSession
from relay.parts.simple import Script
from tests.doors.sessions.old_client import AUDIO, sessions_door

LONG = "A long answer that goes on for quite a while so that there is time to interrupt it. " * 3


class OpenedCall:
    """A call of which only its end counts."""

    conversation_id = "c-1"

    def __init__(self) -> None:
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


def session_with(open_call: Any) -> CoachingSession:
    return CoachingSession("one", "ada", {}, 1024, open_call, lambda _: None)


async def test_S0_14_a_turn_that_waited_opens_no_call_after_the_end(tmp_path: Path) -> None:
    async with sessions_door(tmp_path, Script(replies=[LONG]), burst=2.0) as client:
        await client.create()
        async with client.socket("audio") as ear, asyncio.TaskGroup() as group:
            path, body = "/api/session/one/audio", {"audioData": AUDIO}
            turns = [group.create_task(client.post(path, body)) for _ in range(2)]
            await ear.next("audio_response")
            await client.ask("DELETE", "/api/session/one")
        statuses = sorted(turn.result()[0] for turn in turns)
        await client.here.emptied()

    assert statuses[0] == 404, "who waited is told that it is over"


async def test_S0_16_a_call_that_opens_while_its_session_ends_is_closed() -> None:
    may_open, call = asyncio.Event(), OpenedCall()

    async def open_call(_: CoachingSession) -> TurnClient:
        await may_open.wait()
        return cast(TurnClient, call)

    session = session_with(open_call)
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_refused(session))
        await asyncio.sleep(0)
        await session.close()
        may_open.set()

    assert opening.result() == 404
    assert call.is_closed


async def test_S0_14_nothing_plays_for_a_session_that_ended(tmp_path: Path) -> None:
    async with sessions_door(tmp_path) as client:
        for _ in range(3):
            await client.create()
            await client.speak()
            await client.ask("DELETE", "/api/session/one")
        await client.here.emptied()
        names = [task.get_name() for task in asyncio.all_tasks()]

    assert "sessions.player" not in names


async def _refused(session: CoachingSession) -> int:
    """The status that asking for its call is refused with."""
    with pytest.raises(CallRefused) as refused:
        await session.call()
    return refused.value.status

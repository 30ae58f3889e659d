"""Doors without a WebSocket have the same sessions: admitted, limited, recorded and drained."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

from relay.interfaces import ConnectRequest
from relay.local_connection import LocalConnection
from tests.scenarios.local_doors import Made, Turn
from tests.scenarios.stage import SPEECH, Stage, new_id, stage, token


async def post(here: Stage, pcm: bytes = SPEECH, sub: str = "ada", **query: str) -> Any:
    """A turn over HTTP: status and JSON."""
    headers = {"Authorization": f"Bearer {token(sub)}", "X-Forwarded-For": "203.0.113.9"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{here.http}/turns", data=pcm, headers=headers, params=query) as answer,
    ):
        return answer.status, await answer.json()


def job(sub: str = "ada", **query: str) -> ConnectRequest:
    headers: Mapping[str, str] = {"Authorization": f"Bearer {token(sub)}"}
    return ConnectRequest("/jobs", tuple(query.items()), headers)


def sessions(folder: Path) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(folder / "relay.db")) as file:
        return file.execute("SELECT door, user_id, ending FROM voice_sessions").fetchall()


async def test_a_turn_over_http_is_a_session_with_its_transcript(tmp_path: Path) -> None:
    doors, conversation = Made(), new_id()
    async with stage(tmp_path, make_doors=doors) as here:
        status, answer = await post(here, conversation_id=conversation)
        assert status == 200
        assert answer["text"]
        assert answer["audio_ms"] > 0
        await here.emptied()
        said = await here.stored(conversation, 2)
        metrics = (await here.get("/metrics"))[1]

    assert [one["role"] for one in said] == ["user", "assistant"]
    assert said[1]["text"] == answer["text"]
    assert 'relay_sessions_ended_total{door="turns",ending="client_left"} 1.0' in metrics
    assert sessions(tmp_path) == [("turns", "ada", "client_left")]
    assert [request.client_ip for request in doors.turns.requests] == ["203.0.113.9"]


async def test_a_worker_brings_a_session_of_the_same_kind(tmp_path: Path) -> None:
    doors, conversation = Made(), new_id()
    async with stage(tmp_path, make_doors=doors) as here:
        answer = await doors.jobs.do(job(conversation_id=conversation), SPEECH)
        await here.emptied()
        said = await here.stored(conversation, 2)
        assert not doors.jobs.stopped

    assert said[1]["text"] == answer["text"]
    assert sessions(tmp_path) == [("jobs", "ada", "client_left")]
    assert doors.jobs.stopped, "it ends with the relay"


async def test_who_may_not_come_in_is_told_by_the_connection(tmp_path: Path) -> None:
    doors = Made()
    async with stage(tmp_path, make_doors=doors) as here:
        refused = await doors.jobs.do(ConnectRequest("/jobs"), SPEECH)
        stranger = await doors.jobs.do(job(conversation_id="not a uuid"), SPEECH)
        await here.emptied()

    assert refused == (3000, "invalid_request_error.invalid_api_key")
    assert stranger == (4003, "Forbidden")


async def test_the_limits_of_all_doors_are_the_same(tmp_path: Path) -> None:
    doors = Made()
    async with stage(
        tmp_path, make_doors=doors, max_connections=2, max_sessions_per_user=1
    ) as here:
        held = await holding(here, doors, "ada")
        assert await post(here) == (409, {"code": 4029, "reason": "Too many sessions"})
        other = await holding(here, doors, "grace")
        full = (1013, "Server at capacity")
        assert await doors.jobs.do(job("eve"), SPEECH) == full
        held.connection.close(1000, "")
        other.connection.close(1000, "")
        await here.emptied()
        assert (await post(here))[0] == 200


async def test_while_it_drains_no_door_lets_anybody_in(tmp_path: Path) -> None:
    doors = Made()
    async with stage(tmp_path, make_doors=doors) as here:
        held = await holding(here, doors, "ada")
        async with asyncio.TaskGroup() as group:
            group.create_task(here.app.drain(30))
            await asyncio.sleep(0)
            restart = (1012, "Service restart")
            assert await doors.jobs.do(job("grace"), SPEECH) == restart
            assert (await held.answer(SPEECH))["text"], "who is in may go on"
            held.connection.close(1000, "")


async def holding(here: Stage, doors: Made, sub: str) -> Turn:
    """A session that stays open."""
    near, far = LocalConnection.pair()
    client = Turn(far)
    here.app.server.accept(near, job(sub), doors.turns)
    await client.until("session.created")
    return client

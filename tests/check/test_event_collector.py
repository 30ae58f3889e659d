"""Events as a check collects them: known and unknown types, errors, closes."""

import asyncio
import json
from typing import Any

import pytest

from relay.check.engine import EventCollector, EventWaitError


def frame(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, **more}).encode()


CREATED = frame("session.created", session={})
REFUSED = frame("error", error={"code": "invalid_api_key", "message": "sk-secret is no key"})


async def test_events_are_awaited_in_order() -> None:
    events = EventCollector()
    waiting = asyncio.ensure_future(events.until("response.done", "session.updated"))
    await asyncio.sleep(0)
    events.frame(CREATED)
    events.frame(memoryview(frame("session.updated", session={"id": "s1"})))
    events.frame(frame("response.done"))
    received = await waiting

    assert received.event == {"type": "session.updated", "session": {"id": "s1"}}
    assert (await events.until("session.created")).at <= received.at
    assert events.count == 3


async def test_earlier_events_can_be_skipped() -> None:
    events = EventCollector()
    events.frame(frame("response.done", response={"id": "r1"}))
    before = events.count
    events.frame(frame("response.done", response={"id": "r2"}))

    assert (await events.until("response.done", after=before)).event["response"] == {"id": "r2"}
    assert [received.event["response"]["id"] for received in events.all("response.done")] == [
        "r1",
        "r2",
    ]


async def test_unknown_types_are_counted() -> None:
    events = EventCollector()
    for data in (CREATED, frame("response.thought.delta"), frame("response.thought.delta")):
        events.frame(data)
    events.frame(b"not JSON")

    assert events.unknown == {"response.thought.delta": 2, "(not an event)": 1}


async def test_an_error_before_the_session_shows_its_code_alone() -> None:
    events = EventCollector()
    events.frame(REFUSED)
    with pytest.raises(EventWaitError) as error:
        await events.until("session.created")

    assert str(error.value) == "invalid_api_key"


async def test_an_error_during_the_session_shows_its_message() -> None:
    events = EventCollector()
    events.frame(CREATED)
    events.frame(frame("error", error={"type": "invalid_request_error", "message": "Too long."}))
    with pytest.raises(EventWaitError) as error:
        await events.until("response.done")

    assert str(error.value) == "invalid_request_error: Too long."


@pytest.mark.parametrize("shape", [None, "a string", {}])
async def test_an_error_of_an_odd_shape(shape: object) -> None:
    events = EventCollector()
    events.frame(frame("error", error=shape))
    with pytest.raises(EventWaitError) as error:
        await events.until("session.created")

    assert str(error.value) == "error"


async def test_a_close_ends_the_waiting() -> None:
    events = EventCollector()
    waiting = asyncio.ensure_future(events.until("session.created"))
    await asyncio.sleep(0)
    events.writable(False)
    events.closed(3000, "invalid_request_error.invalid_api_key")
    with pytest.raises(EventWaitError) as error:
        await waiting

    assert (
        str(error.value) == "it closed the connection: 3000 invalid_request_error.invalid_api_key"
    )

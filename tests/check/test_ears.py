"""What a check hears of an engine: known and unknown events, errors, ends."""

import asyncio
import json
from typing import Any

import pytest

from relay.check.engine import Deaf, EventCollector


def frame(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, **more}).encode()


CREATED = frame("session.created", session={})
REFUSED = frame("error", error={"code": "invalid_api_key", "message": "sk-secret is no key"})


async def test_events_are_waited_for_in_their_order() -> None:
    ears = EventCollector()
    waiting = asyncio.ensure_future(ears.until("response.done", "session.updated"))
    await asyncio.sleep(0)
    ears.frame(CREATED)
    ears.frame(memoryview(frame("session.updated", session={"id": "s1"})))
    ears.frame(frame("response.done"))
    heard = await waiting

    assert heard.event == {"type": "session.updated", "session": {"id": "s1"}}
    assert (await ears.until("session.created")).at <= heard.at
    assert ears.count == 3


async def test_what_came_before_can_be_left_out() -> None:
    ears = EventCollector()
    ears.frame(frame("response.done", response={"id": "r1"}))
    before = ears.count
    ears.frame(frame("response.done", response={"id": "r2"}))

    assert (await ears.until("response.done", after=before)).event["response"] == {"id": "r2"}
    assert [heard.event["response"]["id"] for heard in ears.all("response.done")] == ["r1", "r2"]


async def test_types_that_are_not_known_are_counted() -> None:
    ears = EventCollector()
    for data in (CREATED, frame("response.thought.delta"), frame("response.thought.delta")):
        ears.frame(data)
    ears.frame(b"not JSON")

    assert ears.unknown == {"response.thought.delta": 2, "(not an event)": 1}


async def test_an_error_before_the_session_is_told_by_its_code_alone() -> None:
    ears = EventCollector()
    ears.frame(REFUSED)
    with pytest.raises(Deaf) as deaf:
        await ears.until("session.created")

    assert str(deaf.value) == "invalid_api_key"


async def test_an_error_during_the_session_is_told_in_full() -> None:
    ears = EventCollector()
    ears.frame(CREATED)
    ears.frame(frame("error", error={"type": "invalid_request_error", "message": "Too long."}))
    with pytest.raises(Deaf) as deaf:
        await ears.until("response.done")

    assert str(deaf.value) == "invalid_request_error: Too long."


@pytest.mark.parametrize("error", [None, "a string", {}])
async def test_an_error_of_an_odd_shape_is_an_error(error: object) -> None:
    ears = EventCollector()
    ears.frame(frame("error", error=error))
    with pytest.raises(Deaf) as deaf:
        await ears.until("session.created")

    assert str(deaf.value) == "error"


async def test_who_hangs_up_is_waited_for_no_longer() -> None:
    ears = EventCollector()
    waiting = asyncio.ensure_future(ears.until("session.created"))
    await asyncio.sleep(0)
    ears.writable(False)
    ears.closed(3000, "invalid_request_error.invalid_api_key")
    with pytest.raises(Deaf) as deaf:
        await waiting

    assert str(deaf.value) == "it hung up: 3000 invalid_request_error.invalid_api_key"

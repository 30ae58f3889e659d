"""Slots are acquired and released exactly once, and live sessions are found."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from relay.interfaces import LiveSession
from relay.realtime.endings import (
    AT_CAPACITY,
    SERVICE_RESTART,
    TOO_MANY_SESSIONS,
    SessionRefused,
)
from relay.session.directory import MemorySessionDirectory
from tests.feed.calls import HEAD, FakeCall


async def test_S3_8_beyond_the_last_slot_a_client_is_refused_and_not_counted() -> None:
    directory = MemorySessionDirectory(2, 0)
    async with directory.acquire(), directory.acquire():
        with pytest.raises(SessionRefused) as refused:
            async with directory.acquire():
                pass
        assert refused.value.ending == AT_CAPACITY
        assert directory.active == 2
    assert directory.active == 0


async def test_S3_14_a_slot_is_released_whatever_happens() -> None:
    directory = MemorySessionDirectory(1, 0)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            async with directory.acquire():
                raise RuntimeError
    assert directory.active == 0


async def test_a_user_has_so_many_slots_and_others_have_theirs() -> None:
    directory = MemorySessionDirectory(10, 1)
    async with directory.acquire_user("ada"):
        with pytest.raises(SessionRefused) as refused:
            async with directory.acquire_user("ada"):
                pass
        assert refused.value.ending == TOO_MANY_SESSIONS
        async with directory.acquire_user("grace"):
            pass
    async with directory.acquire_user("ada"):
        pass


async def test_without_a_limit_a_user_has_as_many_as_they_like() -> None:
    directory = MemorySessionDirectory(10, 0)
    for_ada = directory.acquire_user
    async with for_ada("ada"), for_ada("ada"), for_ada("ada"):
        pass


def test_live_sessions_are_found_and_ended_together() -> None:
    directory = MemorySessionDirectory(10, 0)
    other = msgspec.structs.replace(HEAD, session_id="77777777-7777-4777-8777-777777777777")
    one, two = FakeCall(), FakeCall(head=other)
    with directory.track(one):
        with directory.track(two):
            assert directory.find(other.session_id) is two
        assert directory.find(HEAD.session_id) is one
        assert directory.find(other.session_id) is None
        directory.end_all(SERVICE_RESTART)
    assert (one.why, two.why) == ("service_restart", None)
    assert directory.find(HEAD.session_id) is None


def test_observers_follow_a_session_while_it_is_live() -> None:
    seen: list[str] = []

    @contextmanager
    def observe(session: LiveSession) -> Iterator[None]:
        seen.append(f"begun {session.door}")
        assert directory.find(session.head.session_id) is session
        yield
        seen.append("ended")

    directory = MemorySessionDirectory(10, 0, [observe])
    with directory.track(FakeCall()):
        assert seen == ["begun openai"]
    assert seen == ["begun openai", "ended"]


def test_it_is_full_while_memory_is_short() -> None:
    room = [False]
    directory = MemorySessionDirectory(10, 0, has_room=lambda: room[0])
    assert directory.is_full
    room[0] = True
    assert not directory.is_full


async def test_a_session_in_the_place_of_another_gets_its_slot_although_memory_is_short() -> None:
    directory = MemorySessionDirectory(1, 0, has_room=lambda: False)
    async with directory.acquire():
        assert directory.active == 1

"""Places are taken and given back exactly once."""

import pytest

from relay.realtime.endings import (
    AT_CAPACITY,
    SERVICE_RESTART,
    TOO_MANY_SESSIONS,
    Ending,
    SessionRefused,
)
from relay.session.directory import SessionDirectory


class FakeSession:
    def __init__(self) -> None:
        self.endings: list[Ending] = []

    def end(self, ending: Ending) -> None:
        self.endings.append(ending)


def test_S3_8_beyond_the_last_place_one_is_refused_and_not_counted() -> None:
    registry = SessionDirectory(2, 0)
    with registry.place(), registry.place():
        with pytest.raises(SessionRefused) as refused, registry.place():
            pass
        assert refused.value.ending == AT_CAPACITY
        assert registry.active == 2
    assert registry.active == 0


def test_S3_14_a_place_is_given_back_whatever_happens() -> None:
    registry = SessionDirectory(1, 0)
    for _ in range(3):
        with pytest.raises(RuntimeError), registry.place():
            raise RuntimeError
    assert registry.active == 0


def test_a_user_has_so_many_places_and_others_have_theirs() -> None:
    registry = SessionDirectory(10, 1)
    with registry.user("ada"):
        with pytest.raises(SessionRefused) as refused, registry.user("ada"):
            pass
        assert refused.value.ending == TOO_MANY_SESSIONS
        with registry.user("grace"):
            pass
    with registry.user("ada"):
        pass


def test_without_a_limit_a_user_has_as_many_as_they_like() -> None:
    registry = SessionDirectory(10, 0)
    with registry.user("ada"), registry.user("ada"), registry.user("ada"):
        pass


def test_live_sessions_are_ended_together() -> None:
    registry, one, two = SessionDirectory(10, 0), FakeSession(), FakeSession()
    with registry.live(one):
        with registry.live(two):
            pass
        registry.end_all(SERVICE_RESTART)
    assert (one.endings, two.endings) == ([SERVICE_RESTART], [])

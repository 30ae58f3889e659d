import pytest

from relay.http.api import auth
from relay.http.api.auth import LEARNERS_TTL_SECONDS, Authorizer
from relay.http.api.errors import UNAVAILABLE, ApiError
from relay.realtime.grant import Caller, Role
from tests.http.api.running_api import FakeAssignments
from tests.http.api.test_rate_limits import Clock
from tests.stores.words import LEARNER, STRANGER


def caller(sub: str, role: Role) -> Caller:
    return Caller(sub=sub, role=role, expires_at=1e9)


@pytest.mark.parametrize(
    ("sub", "role", "seen"),
    [
        (LEARNER, "learner", {LEARNER}),
        (STRANGER, "learner", {STRANGER}),
        ("kim", "learner", set()),
        ("kim", "coach", {LEARNER}),
        ("new", "coach", set()),
        (STRANGER, "coach", {STRANGER}),
        ("boss", "admin", {LEARNER, STRANGER}),
    ],
)
async def test_sessions_visible_to_a_caller(sub: str, role: Role, seen: set[str]) -> None:
    """Coaches also see their own sessions."""
    is_visible = await Authorizer(FakeAssignments(), Clock()).visible_to(caller(sub, role))
    assert {user for user in (LEARNER, STRANGER) if is_visible(user)} == seen


async def test_learners_are_cached_for_seconds_only() -> None:
    clock, assignments = Clock(), FakeAssignments()
    authorizer = Authorizer(assignments, clock)
    for _ in range(3):
        assert (await authorizer.visible_to(caller("kim", "coach")))(LEARNER)
    assert assignments.asked == 1
    assignments.of.clear()
    clock.now += LEARNERS_TTL_SECONDS
    assert not (await authorizer.visible_to(caller("kim", "coach")))(LEARNER)


async def test_a_store_that_fails_gives_no_access() -> None:
    assignments = FakeAssignments(broken=True)
    with pytest.raises(ApiError) as refused:
        await Authorizer(assignments, Clock()).visible_to(caller("kim", "coach"))
    assert refused.value.spec == UNAVAILABLE


async def test_the_cache_of_coaches_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "COACHES", 1)
    authorizer = Authorizer(FakeAssignments(), Clock())
    for sub in ("kim", "lee"):
        await authorizer.visible_to(caller(sub, "coach"))
    assert list(authorizer._cache) == ["lee"]

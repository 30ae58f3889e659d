import pytest

from relay.http.api import auth as access_module
from relay.http.api.auth import REMEMBERED_SECONDS, Authorizer
from relay.http.api.errors import UNAVAILABLE, ApiError
from relay.realtime.grant import Caller, Role
from tests.http.api.desk import Assignments
from tests.http.api.test_rates import Clock
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
        ("nobody's", "coach", set()),
        (STRANGER, "coach", {STRANGER}),
        ("boss", "admin", {LEARNER, STRANGER}),
    ],
)
async def test_who_sees_whom(sub: str, role: Role, seen: set[str]) -> None:
    """A coach's own calls are theirs to see, too."""
    sees = await Authorizer(Assignments(), Clock()).sees(caller(sub, role))
    assert {user for user in (LEARNER, STRANGER) if sees(user)} == seen


async def test_learners_are_remembered_for_seconds_and_no_longer() -> None:
    clock, learners = Clock(), Assignments()
    access = Authorizer(learners, clock)
    for _ in range(3):
        assert (await access.sees(caller("kim", "coach")))(LEARNER)
    assert learners.asked == 1
    learners.of.clear()
    clock.now += REMEMBERED_SECONDS
    assert not (await access.sees(caller("kim", "coach")))(LEARNER)


async def test_who_cannot_be_asked_for_lets_nobody_in() -> None:
    learners = Assignments(broken=True)
    with pytest.raises(ApiError) as refused:
        await Authorizer(learners, Clock()).sees(caller("kim", "coach"))
    assert refused.value.refusal == UNAVAILABLE


async def test_few_coaches_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "COACHES", 1)
    access = Authorizer(Assignments(), Clock())
    for sub in ("kim", "lee"):
        await access.sees(caller(sub, "coach"))
    assert list(access._known) == ["lee"]

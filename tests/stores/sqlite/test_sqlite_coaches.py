"""Who may follow whom, in the embedded store."""

from pathlib import Path

from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import COACH, LEARNER, STRANGER


async def test_a_coach_has_the_learners_that_were_assigned(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    assert await store.assign(COACH, LEARNER)
    assert await store.assign(COACH, STRANGER)
    assert not await store.assign(COACH, LEARNER), "it was so before"
    assert await store.learners(COACH) == {LEARNER, STRANGER}
    assert await store.learners(LEARNER) == frozenset()
    await store.aclose()


async def test_what_was_assigned_is_there_at_the_next_start_and_can_be_over(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "relay.sqlite")
    await store.assign(COACH, LEARNER)
    await store.aclose()
    again = SqliteStore(tmp_path / "relay.sqlite")
    assert await again.unassign(COACH, LEARNER)
    assert not await again.unassign(COACH, LEARNER)
    assert await again.learners(COACH) == frozenset()
    await again.aclose()

"""`relay assign`: which learners a coach may follow, in the store of this folder."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.stores.sqlite.store import SqliteStore
from tests.cli.conftest import Ran
from tests.cli.program import one_line
from tests.components import needs
from tests.stores.hosted import peopled
from tests.stores.words import AGENT, COACH, LEARNER
from tests.supabase.project import Project

Run = Callable[..., Ran]


def learners(coach: str) -> frozenset[str]:
    """The coach's learners, as a relay in this folder reads them."""

    async def read() -> frozenset[str]:
        store = SqliteStore(Path("var/relay.db"))
        found = await store.learners(coach)
        await store.aclose()
        return found

    return asyncio.run(read())


def test_a_coach_follows_a_learner_until_it_is_over(run: Run) -> None:
    first = run("assign", "--coach", "carla", "--learner", "ada")
    again = run("assign", "--coach", "carla", "--learner", "ada")

    assert (first.code, first.out) == (0, "carla follows ada\n")
    assert (again.code, again.out) == (0, "carla follows ada (no change)\n")
    assert learners("carla") == {"ada"}

    over = run("assign", "--coach", "carla", "--learner", "ada", "--remove")

    assert (over.code, over.out) == (0, "carla no longer follows ada\n")
    assert learners("carla") == frozenset()


@pytest.mark.parametrize(("coach", "learner"), [("", "ada"), ("carla", " ")])
def test_empty_ids_are_refused(run: Run, coach: str, learner: str) -> None:
    ran = run("assign", "--coach", coach, "--learner", learner)

    assert (ran.code, ran.out) == (2, "")
    assert one_line(ran.err).endswith("must not be empty")
    assert not Path("var").exists()


@pytest.mark.parametrize(
    ("coach", "learner"),
    [("carla", "carla"), ("carla", " carla "), (COACH, COACH.upper()), (COACH, f"{{{COACH}}}")],
)
def test_nobody_coaches_themselves(run: Run, coach: str, learner: str) -> None:
    ran = run("assign", "--coach", coach, "--learner", learner)

    assert (ran.code, ran.out) == (2, "")
    assert "the same person" in one_line(ran.err)
    assert not Path("var").exists()


def test_who_was_made_their_own_coach_before_is_freed_of_it(run: Run) -> None:
    async def write() -> None:
        store = SqliteStore(Path("var/relay.db"))
        await store.assign("carla", "carla")
        await store.aclose()

    asyncio.run(write())
    ran = run("assign", "--coach", "carla", "--learner", "carla", "--remove")
    assert (ran.code, ran.out) == (0, "carla no longer follows carla\n")
    assert learners("carla") == frozenset()


def test_an_id_is_stored_as_tokens_have_it(run: Run) -> None:
    run("assign", "--coach", f" {COACH.upper()}", "--learner", " ada ")
    assert learners(COACH) == {"ada"}


def test_a_store_that_cannot_be_written_is_named(run: Run) -> None:
    Path("var").write_text("a file where the folder should be")
    ran = run("assign", "--coach", "carla", "--learner", "ada")

    assert ran.code == 1
    assert one_line(ran.err).startswith("var/relay.db (RELAY_DATA_DIR=var) cannot be written:")


@needs("postgresql", "postgrest")
def test_a_project_is_written_where_it_is_the_store(
    run: Run, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", project.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)
    asyncio.run(peopled(project))
    both = ("assign", "--coach", COACH, "--learner", LEARNER)
    ran = [run(*both), run(*both)]
    rows = asyncio.run(
        project.sql("select coach_id::text, learner_id::text from coach_assignments")
    )
    ran += [run(*both, "--remove"), run(*both, "--remove")]
    stranger = run("assign", "--coach", "carla", "--learner", LEARNER)
    nobody = run("assign", "--coach", AGENT, "--learner", LEARNER)
    project.misbehave.always("503")
    broken = run(*both)

    assert [one.out.removeprefix(COACH).strip() for one in ran] == [
        f"follows {LEARNER}",
        f"follows {LEARNER} (no change)",
        f"no longer follows {LEARNER}",
        f"no longer follows {LEARNER} (no change)",
    ]
    assert rows == [(COACH, LEARNER)]
    for one in (stranger, nobody):
        assert one.code == 1
        assert one_line(one.err).startswith("no such user")
    assert one_line(broken.err) == "the project's database cannot be written: DatabaseFailing"
    assert not Path("var").exists()

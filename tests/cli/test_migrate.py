"""`relay migrate`: the SQL of the repository, printed, listed, or put into a real database."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.cli.program import one_line
from tests.components import needs
from tests.supabase.fixtures import MIGRATIONS, migrations
from tests.supabase.people import settle
from tests.supabase.project import Project

Run = Callable[..., Ran]
NAMES = [path.name for path in migrations()]
FOUND = "relay.cli.admin.MIGRATIONS"


def test_it_prints_the_sql_in_order(run: Run) -> None:
    ran = run("migrate")

    heads = [line[3:] for line in ran.out.splitlines() if line.removeprefix("-- ") in NAMES]
    assert (ran.code, heads) == (0, NAMES)
    assert ran.out == "".join(f"-- {p.name}\n\n{p.read_text()}\n" for p in migrations())


def test_as_json_it_lists_the_files(run: Run) -> None:
    ran = run("migrate", "--json")

    assert json.loads(ran.out) == {"files": [str(MIGRATIONS / name) for name in NAMES]}


def test_without_a_checkout_there_is_no_sql(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FOUND, tmp_path)
    ran = run("migrate")

    assert (ran.code, ran.out) == (1, "")
    assert one_line(ran.err).startswith(f"there is no SQL in {tmp_path}")


@needs("postgresql", "postgrest")
@pytest.mark.parametrize("state", ["empty_project", "s3_project"])
async def test_it_makes_a_project_ready_for_calls(
    run: Run, request: pytest.FixtureRequest, state: str
) -> None:
    project: Project = request.getfixturevalue(state)
    first = run("migrate", "--apply", project.database_url)
    again = run("migrate", "--apply", project.database_url)
    thrice = run("migrate", "--apply", project.database_url, "--json")

    assert (first.code, first.out) == (0, "".join(f"applied {name}\n" for name in NAMES))
    assert again.out == "".join(f"skipped {name}: applied before\n" for name in NAMES)
    assert (thrice.code, json.loads(thrice.out)) == (
        0,
        {"applied": [], "skipped": NAMES, "warnings": []},
    )
    await project.restart_api()
    await settle(project)


@needs("postgresql", "postgrest")
async def test_without_an_address_it_goes_where_the_environment_says(
    run: Run, empty_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, _, host = empty_project.database_url.partition("?host=")
    monkeypatch.setenv("PGHOST", host)
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGDATABASE", rest.rpartition("/")[2])

    assert run("migrate", "--apply").code == 0


@needs("postgresql", "postgrest")
async def test_what_a_migration_left_out_is_told_and_tried_again(
    run: Run, empty_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1_partial.sql").write_text("do $$ begin raise warning 'no rights'; end $$")
    monkeypatch.setattr(FOUND, tmp_path)
    ran = [run("migrate", "--apply", empty_project.database_url) for _ in range(2)]

    assert {one.out for one in ran} == {"applied 1_partial.sql\n  warning: no rights\n"}


@needs("postgresql", "postgrest")
async def test_a_failed_migration_is_one_line(
    run: Run, empty_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1_bad.sql").write_text("select\n  nothing")
    monkeypatch.setattr(FOUND, tmp_path)
    ran = run("migrate", "--apply", empty_project.database_url)

    assert (ran.code, ran.out) == (1, "")
    assert one_line(ran.err) == '1_bad.sql: column "nothing" does not exist'

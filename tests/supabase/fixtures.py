"""The projects that tests ask for: `project` and those in other states of being set up.

The first test that asks for one starts PostgreSQL for the whole run and makes a template of each
state; every test has a fresh copy with the real PostgREST on it.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.components import require
from tests.supabase.postgres import Postgres
from tests.supabase.project import Project

HERE = Path(__file__).parent
MIGRATIONS = HERE.parents[1] / "supabase" / "migrations"
_EMPTY = [HERE / "empty_project.sql", HERE / "realtime.sql"]
_S3 = [*_EMPTY, HERE / "s3_schema.sql"]


def migrations() -> list[Path]:
    """The project's own files of SQL, in order."""
    return sorted(MIGRATIONS.glob("*.sql"))


TEMPLATES: dict[str, Callable[[], list[Path]]] = {
    "empty": lambda: _EMPTY,
    "s3": lambda: _S3,
    "migrated": lambda: [*_EMPTY, *migrations()],
    "s3_migrated": lambda: [*_S3, *migrations()],
}
"""The states: a new Supabase project, S3's, and each with the migrations of this repository."""

_numbers = itertools.count()


class Projects:
    """The server of this run and the templates that were made in it."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self._made: set[str] = set()

    @contextmanager
    def copy(self, state: str) -> Iterator[Project]:
        """A project in one of the states of `TEMPLATES`, gone afterwards."""
        template = f"template_{state}"
        if state not in self._made:
            self.postgres.clone("template1", template)
            self.postgres.script(template, *TEMPLATES[state]())
            self._made.add(state)
        database = f"project_{next(_numbers)}"
        self.postgres.clone(template, database)
        project = Project(self.postgres, database)
        try:
            project.open()
            yield project
        finally:
            project.close()
            self.postgres.start_if_stopped()
            self.postgres.drop(database)


@pytest.fixture(scope="session")
def projects() -> Iterator[Projects]:
    """Copies of projects in any state, for tests that want another one or two at once."""
    require("postgrest")
    postgres = Postgres()
    try:
        postgres.create()
        yield Projects(postgres)
    finally:
        postgres.remove()


@pytest.fixture
def project(projects: Projects) -> Iterator[Project]:
    """S3's database with this repository's migrations, and nothing in it."""
    with projects.copy("s3_migrated") as project:
        yield project


@pytest.fixture
def fresh_project(projects: Projects) -> Iterator[Project]:
    """A new Supabase project with this repository's migrations."""
    with projects.copy("migrated") as project:
        yield project


@pytest.fixture
def s3_project(projects: Projects) -> Iterator[Project]:
    """S3's database before the migrations."""
    with projects.copy("s3") as project:
        yield project


@pytest.fixture
def empty_project(projects: Projects) -> Iterator[Project]:
    """A new Supabase project before the migrations."""
    with projects.copy("empty") as project:
        yield project

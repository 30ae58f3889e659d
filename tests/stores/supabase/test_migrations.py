"""Migrations applied to a real database, and the reasons given when they cannot be."""

from pathlib import Path

import psycopg
import pytest

from relay.stores.supabase.migrations import MigrationFailed, apply
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files, the second of which fails in its second statement."""
    texts = {
        "1_table.sql": "create table first (word text); insert into first values ('50 % is %s');",
        "2_bad.sql": "create table second (); insert into nowhere values (1);",
        "3_more.sql": "create table third ();",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return sorted(tmp_path.iterdir())


async def tables(project: Project) -> set[str]:
    query = "select relname from pg_class where relname in ('first', 'second', 'third')"
    return {row[0] for row in await project.sql(query)}


async def test_each_file_is_applied_whole_or_not_at_all(
    empty_project: Project, files: list[Path]
) -> None:
    applied = apply(empty_project.database_url, files)
    assert next(applied).name == files[0].name
    assert await tables(empty_project) == {"first"}
    with pytest.raises(MigrationFailed, match=r'^2_bad.sql: relation "nowhere" does not exist$'):
        next(applied)
    assert await tables(empty_project) == {"first"}


async def test_a_user_who_may_not_create_tables_is_told_who_may(
    empty_project: Project, files: list[Path]
) -> None:
    address = empty_project.database_url.replace("postgres@", "authenticator@")
    with pytest.raises(MigrationFailed, match=r"1_table.sql: permission denied .*\(postgres\)$"):
        list(apply(address, files))


async def test_a_table_in_use_is_not_waited_for_without_end(
    empty_project: Project, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.stores.supabase.migrations.LOCK_SECONDS", 0.05)
    await empty_project.sql("create table busy ()")
    files[0].write_text("alter table busy add word text")
    with psycopg.connect(empty_project.database_url) as connection:
        connection.execute("lock table busy")
        with pytest.raises(MigrationFailed, match=r"1_table.sql: a table was in use"):
            list(apply(empty_project.database_url, files))


async def test_a_database_of_no_project_is_named(empty_project: Project, files: list[Path]) -> None:
    await empty_project.sql("drop schema auth cascade")
    files[0].write_text("create table mine (id uuid references auth.users)")
    with pytest.raises(MigrationFailed, match="this is not the database of a project"):
        list(apply(empty_project.database_url, files))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("postgres://postgres:hush@127.0.0.1:1/postgres", "^cannot connect: .*refused"),
        ("postgres://postgres:hush@/postgres?host=/no/where", "^cannot connect: "),
        ("https://hush@example.com", "^the address is none; "),
        ("hush", "^the address is none; "),
    ],
)
def test_an_unreachable_database_is_reported_without_the_password(
    address: str, reason: str
) -> None:
    with pytest.raises(MigrationFailed, match=reason) as failed:
        list(apply(address, []))
    assert "hush" not in str(failed.value)

"""`relay retain`: forget what was said long ago."""

import json
from pathlib import Path

import pytest

from tests.cli.program import one_line, relay
from tests.cli.stored_calls import store_calls, words_in
from tests.components import needs
from tests.stores.hosted import hosted
from tests.stores.words import Call
from tests.supabase.project import Project


async def test_old_words_are_deleted_and_the_second_time_there_are_none(folder: Path) -> None:
    await store_calls(folder)
    first = relay("retain", "--days", "30", "--yes", cwd=folder)
    again = relay("retain", "--days", "30", "--yes", "--json", cwd=folder)

    assert first.stdout == "deleted 2 utterances older than 30 days in var/relay.db\n"
    assert json.loads(again.stdout) == {
        "days": 30,
        "mode": "delete",
        "utterances": 0,
        "store": "var/relay.db",
        "done": True,
    }
    assert not words_in(folder / "var") & {"rhubarb", "celery"}


async def test_old_words_are_emptied(folder: Path) -> None:
    await store_calls(folder)
    ran = relay("retain", "--days", "1", "--redact", "--yes", cwd=folder)

    assert ran.stdout == "emptied 2 utterances older than 1 days in var/relay.db\n"
    assert not words_in(folder / "var") & {"rhubarb", "celery"}


@pytest.mark.parametrize("mode", ["delete", "empty"])
async def test_without_yes_it_only_says_how_many(folder: Path, mode: str) -> None:
    await store_calls(folder)
    redact = ["--redact"] if mode == "empty" else []
    ran = relay("retain", "--days", "30", *redact, cwd=folder)

    assert ran.stdout == f"would {mode} 2 utterances older than 30 days in var/relay.db\n"
    assert (ran.returncode, one_line(ran.stderr).endswith("add --yes")) == (2, True)
    assert {"rhubarb", "celery"} <= words_in(folder / "var")


@needs("postgresql", "postgrest")
async def test_a_projects_old_words_are_deleted_in_the_project(
    project: Project, folder: Path
) -> None:
    async with hosted(project) as store:
        await store.put([Call().user("rhubarb"), Call().assistant("quince")])
    settings = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_ROLE_KEY": project.service_key}
    asked = relay("retain", "--days", "30", cwd=folder, **settings)
    ran = relay("retain", "--days", "30", "--yes", cwd=folder, **settings)

    assert asked.stdout == f"would delete 2 utterances older than 30 days in {project.url}\n"
    assert ran.stdout == f"deleted 2 utterances older than 30 days in {project.url}\n"
    assert await project.sql("select count(*) from chat_messages_v2") == [(0,)]
    assert list(folder.iterdir()) == [], "nothing is made here"


@pytest.mark.parametrize("days", ["0", "-1", "some", "1.5", "99999999"])
def test_impossible_days_are_refused(folder: Path, days: str) -> None:
    ran = relay("retain", f"--days={days}", cwd=folder)

    assert ran.returncode == 2
    assert "invalid days value" in ran.stderr or "argument --days" in ran.stderr


def test_a_folder_without_a_store_is_reported(folder: Path) -> None:
    ran = relay("retain", "--days", "1", cwd=folder)

    assert ran.returncode == 1
    assert one_line(ran.stderr).startswith("var/relay.db is not there")
    assert list(folder.iterdir()) == []

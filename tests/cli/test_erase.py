"""`relay erase`: one person's words and calls, out of the journal and the store."""

import json
from pathlib import Path

from tests.cli.program import Program, one_line, relay
from tests.cli.stored_calls import CALL, HERS, store_calls, words_in
from tests.components import needs
from tests.stores.hosted import hosted
from tests.stores.words import LEARNER
from tests.supabase.project import Project


async def test_no_byte_of_the_words_stays_in_journal_or_store(folder: Path) -> None:
    await store_calls(folder)
    assert words_in(folder) == {"rhubarb", "quince", "celery", "leek", LEARNER}
    ran = relay("erase", "--user", LEARNER, "--yes", cwd=folder)
    again = relay("erase", "--user", LEARNER, "--yes", "--json", cwd=folder)

    assert ran.stdout == (
        "erased from var/relay.db: journal: 1, messages: 1, calls: 1, usage: 1, conversations: 1\n"
    )
    assert set(json.loads(again.stdout)["erased"].values()) == {0}
    assert words_in(folder) == {"celery", "leek"}


async def test_nothing_happens_without_yes(folder: Path) -> None:
    await store_calls(folder)
    ran = relay("erase", "--user", LEARNER, cwd=folder)
    nobody = relay("erase", "--user", " ", "--yes", cwd=folder)

    assert (ran.returncode, nobody.returncode) == (2, 2)
    assert ran.stdout == (
        "would erase from var/relay.db: journal: 1, messages: 1, calls: 1, usage: 1\n"
    )
    assert one_line(ran.stderr).endswith("add --yes")
    assert one_line(nobody.stderr) == "--user must not be empty"
    assert "rhubarb" in words_in(folder)


async def test_a_running_relay_must_be_stopped_first(folder: Path) -> None:
    await store_calls(folder)
    with Program("dev", "--port", "0", cwd=folder, RELAY_ENGINE="echo") as program:
        program.line("socket")
        ran = relay("erase", "--user", LEARNER, "--yes", cwd=folder)
        assert program.stop() == 0
    assert ran.returncode == 1
    assert one_line(ran.stderr) == (
        "a relay runs in var, and may still write their words: stop it and try again"
    )
    assert "rhubarb" in words_in(folder)
    assert relay("erase", "--user", LEARNER, "--yes", cwd=folder).returncode == 0
    assert words_in(folder) == {"celery", "leek"}


def test_an_empty_folder_holds_nothing_of_anyone(folder: Path) -> None:
    ran = relay("erase", "--user", LEARNER, "--yes", cwd=folder)

    assert (ran.returncode, ran.stdout) == (0, "nothing is kept of them in var/relay.db\n")
    assert list(folder.iterdir()) == []


@needs("postgresql", "postgrest")
async def test_a_project_forgets_them_and_so_does_the_journal_here(
    project: Project, folder: Path
) -> None:
    async with hosted(project) as store:
        await store.put([CALL.user("damson"), CALL.begun(), HERS.user("chard")])
    await store_calls(folder)
    settings = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_ROLE_KEY": project.service_key}
    ran = relay("erase", "--user", LEARNER, "--yes", cwd=folder, RELAY_STORE="supabase", **settings)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"erased from {project.url}: journal: 1, ")
    assert await project.sql("select content ->> 'text' from chat_messages_v2") == [("chard",)]
    assert await project.sql("select count(*) from voice_sessions") == [(0,)]
    assert "quince" not in words_in(folder)

"""`relay export`: all that is kept about one person, as JSON."""

import json
from pathlib import Path

from tests.cli.program import Program, one_line, relay
from tests.cli.stored_calls import store_calls
from tests.components import needs
from tests.stores.hosted import hosted
from tests.stores.words import LEARNER, Call
from tests.supabase.project import Project


async def test_everything_of_one_person_is_exported_and_nothing_of_another(folder: Path) -> None:
    await store_calls(folder)
    ran = relay("export", "--user", LEARNER, cwd=folder)
    told = json.loads(ran.stdout)

    assert ran.returncode == 0
    assert told["conversations"][0]["messages"][0]["content"]["text"] == "rhubarb"
    assert [record["utterance"]["text"] for record in told["journal"]] == ["quince"]
    assert len(told["calls"]) == len(told["usage"]) == 1
    assert "celery" not in ran.stdout
    assert "leek" not in ran.stdout


async def test_it_is_written_for_its_owner_alone(folder: Path) -> None:
    await store_calls(folder)
    (folder / "ada.json").touch(mode=0o644)
    ran = relay("export", "--user", LEARNER, "--out", "ada.json", cwd=folder)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "written to ada.json\n")
    assert json.loads((folder / "ada.json").read_text())["user_id"] == LEARNER
    assert (folder / "ada.json").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_cannot_be_written_is_reported(folder: Path) -> None:
    await store_calls(folder)
    ran = relay("export", "--user", LEARNER, "--out", "nowhere/ada.json", cwd=folder)

    assert ran.returncode == 1
    assert one_line(ran.stderr) == "nowhere/ada.json cannot be written: No such file or directory"


async def test_a_relay_may_run_meanwhile(folder: Path) -> None:
    await store_calls(folder)
    with Program("dev", "--port", "0", cwd=folder, RELAY_ENGINE="echo") as program:
        program.line("socket")
        ran = relay("export", "--user", LEARNER, cwd=folder)
        assert program.stop() == 0

    assert ran.returncode == 0
    assert "rhubarb" in ran.stdout
    assert "quince" in ran.stdout, "stored by now, or waiting still"


@needs("postgresql", "postgrest")
async def test_a_projects_data_comes_with_what_waits_in_the_journal(
    project: Project, folder: Path
) -> None:
    async with hosted(project) as store:
        await store.put([Call().user("damson")])
    await store_calls(folder)
    settings = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_ROLE_KEY": project.service_key}
    settings["RELAY_STORE"] = "supabase"
    told = json.loads(relay("export", "--user", LEARNER, cwd=folder, **settings).stdout)
    nobody = relay("export", "--user", "ada", cwd=folder, **settings)

    assert told["conversations"][0]["messages"][0]["content"]["text"] == "damson"
    assert [record["utterance"]["text"] for record in told["journal"]] == ["quince"]
    assert nobody.returncode == 2
    assert "it wants a UUID" in one_line(nobody.stderr)

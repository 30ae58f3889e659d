"""`relay check` with a project: a healthy one, and set-ups that would not work."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay.cli.check import project_checks
from relay.config import dev_settings
from relay.stores.journal.file import JournalFile
from tests.check.projects import AGENT, store_key
from tests.cli.broken_projects import BROKEN
from tests.cli.program import relay, taken_port
from tests.components import needs
from tests.supabase.project import Project

pytestmark = [pytest.mark.slow, needs("postgresql", "postgrest")]


@pytest.fixture
async def settings(project: Project) -> dict[str, str]:
    """A set-up in which everything works: the voice is a simulated provider's."""
    await store_key(project)
    await project.add_agent(AGENT)
    return {
        "SUPABASE_URL": project.url,
        "SUPABASE_SERVICE_ROLE_KEY": project.service_key,
        "SUPABASE_JWT_SECRET": project.jwt_secret,
        "DEFAULT_AGENT": AGENT,
        "RELAY_ENGINE": "echo",
        "PORT": "0",
    }


def parts(folder: Path, settings: dict[str, str]) -> tuple[int, dict[str, dict[str, Any]]]:
    """What `relay check --json` says, by part, and its exit code."""
    ran = relay("check", "--json", cwd=folder, **settings)
    told = json.loads(ran.stdout)
    assert told["ok"] == (ran.returncode == 0)
    assert ran.stderr == ""
    return ran.returncode, {one["part"]: one for one in told["parts"]}


def only(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The one part that failed."""
    (failed,) = (one for one in found.values() if one["state"] == "fail")
    return failed


def test_a_healthy_project_is_without_a_finding(settings: dict[str, str], folder: Path) -> None:
    code, found = parts(folder, settings)

    assert (code, {one["state"] for one in found.values()}) == (0, {"ok", "skip"})
    assert [name for name in found if name.startswith("project")] == [
        *("project", "project, clock", "project, token secret", "project, API cache"),
        *("project, chat tables", "project, call tables", "project, schema", "project, readers"),
        "project, default agent",
    ]
    assert [name for name, one in found.items() if one["state"] == "skip"] == ["page", "proxy"]
    assert "store" not in found


def test_the_providers_key_is_checked_only_where_it_is_used(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (settings | {"RELAY_ENGINE": "openai", "RELAY_STORE": "supabase"}).items():
        monkeypatch.setenv(name, value)
    names = [part.name for part in project_checks(dev_settings().settings)]
    monkeypatch.setenv("RELAY_STORE", "sqlite")

    assert "project, provider key" in names
    assert list(project_checks(dev_settings().settings)) == []


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_set_up_is_found_with_a_hint(
    project: Project, settings: dict[str, str], folder: Path, name: str
) -> None:
    broken = BROKEN[name]
    if broken.sql:
        await project.sql(broken.sql)
        await project.restart_api()
    code, found = parts(folder, settings | broken.settings)

    assert code == 1
    failed = found[broken.part]
    assert failed["state"] == "fail"
    assert broken.what in failed["what"]
    assert broken.mend in failed["mend"]
    others = {part for part, one in found.items() if one["state"] == "fail"} - {broken.part}
    assert others <= {"key set"}, "where there is no project there is no key set"


async def test_an_empty_key_set_fails_without_a_secret_in_its_place(
    project: Project, settings: dict[str, str], folder: Path
) -> None:
    project.misbehave.path = "/auth/v1/.well-known/"
    project.misbehave.always("empty")
    code, found = parts(folder, settings | {"SUPABASE_JWT_SECRET": ""})

    assert code == 1
    assert only(found)["part"] == "key set"
    assert "gives no keys" in found["key set"]["what"]
    assert "SUPABASE_JWT_SECRET" in found["key set"]["mend"]


def test_a_journal_of_another_relay_is_reported(settings: dict[str, str], folder: Path) -> None:
    with taken_port() as listener:
        free = listener.getsockname()[1]
    ports = {"PORT": str(free), "HTTP_PORT": str(free + 1)}
    journal = JournalFile(folder / "var" / "journal", 1 << 20)
    try:
        code, found = parts(folder, settings | ports)
    finally:
        journal.close()

    assert code == 1
    assert only(found)["part"] == "journal"
    assert "another relay has this journal" in found["journal"]["what"]
    assert "RELAY_DATA_DIR of its own" in found["journal"]["mend"]


def test_a_folder_that_cannot_be_written_is_reported(
    settings: dict[str, str], folder: Path
) -> None:
    (folder / "var").write_text("a file where the folder should be")
    code, found = parts(folder, settings)

    assert code == 1
    assert only(found)["part"] == "journal"
    assert "RELAY_DATA_DIR" in found["journal"]["mend"]

"""The store that the privacy commands take, and the errors that they report."""

import pytest

from relay.cli.privacy import PersonalData, with_personal_data
from relay.stores.journal.file import JournalDamaged
from tests.cli.program import one_line
from tests.stores.words import LEARNER

PROJECT = {"SUPABASE_URL": "http://127.0.0.1:8", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_1"}


async def place(data: PersonalData) -> str:
    return data.place


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch):
    def put(**names: str) -> None:
        for name, value in names.items():
            monkeypatch.setenv(name, value)

    return put


def test_the_embedded_store_is_the_usual_one(setting) -> None:
    assert with_personal_data(place) == "var/relay.db"
    setting(SUPABASE_URL="https://ref.supabase.co")
    assert with_personal_data(place) == "var/relay.db", "a project for tokens alone keeps no words"


def test_the_project_is_the_one_that_relay_serve_would_take(setting) -> None:
    setting(**PROJECT)
    assert with_personal_data(place) == PROJECT["SUPABASE_URL"]


@pytest.mark.parametrize(
    "mistake",
    [
        {"RELAY_AGENTS": "missing.toml"},
        {"RELAY_PRICES": "missing.toml"},
        {"RELAY_ENGINE": "cascade", "RELAY_STT": "local"},
    ],
    ids=lambda names: next(iter(names)),
)
def test_a_mistake_elsewhere_does_not_lead_to_another_store(setting, folder, mistake) -> None:
    setting(**PROJECT, **mistake)
    assert with_personal_data(place) == PROJECT["SUPABASE_URL"]
    assert not (folder / "var").exists()


def test_with_two_stores_it_asks_for_a_decision(setting, folder, capsys) -> None:
    setting(**PROJECT)
    (folder / "var").mkdir()
    (folder / "var" / "relay.db").touch()
    with pytest.raises(SystemExit, match="1"):
        with_personal_data(place)
    assert one_line(capsys.readouterr().err).endswith("and the project: set RELAY_STORE")
    setting(RELAY_STORE="sqlite")
    assert with_personal_data(place) == "var/relay.db"


def test_wrong_settings_are_reported(setting, capsys) -> None:
    setting(PORT="many")
    with pytest.raises(SystemExit, match="1"):
        with_personal_data(place)
    assert one_line(capsys.readouterr().err).startswith("PORT: ")


def test_a_project_that_does_not_answer_is_reported(setting, capsys) -> None:
    setting(**PROJECT)

    async def ask(data: PersonalData) -> None:
        await data.store.export(LEARNER)

    with pytest.raises(SystemExit, match="1"):
        with_personal_data(ask)
    assert "DatabaseUnreachable; see `relay check`" in one_line(capsys.readouterr().err)


def test_a_damaged_journal_is_reported(capsys) -> None:
    async def look(_: PersonalData) -> None:
        raise JournalDamaged("var/journal/journal.sqlite cannot be read by this relay")

    with pytest.raises(SystemExit, match="1"):
        with_personal_data(look)
    assert one_line(capsys.readouterr().err).startswith(
        "RELAY_DATA_DIR=var cannot be used: var/journal"
    )

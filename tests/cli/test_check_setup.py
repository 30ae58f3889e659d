"""The parts that `relay check` looks at, by the settings."""

import asyncio
from pathlib import Path

import pytest

from relay.cli.check import Setup, checks_for, read_setup
from relay.parts.simple import scripted_parts
from relay.simulator import SimulatorOptions, simulate
from tests.cli.program import relay
from tests.components import needs
from tests.forward_proxy import forward_proxy
from tests.supabase.project import Project

SECRET = "s" * 32
DOORS = ("sessions door", "socketio door", "services door")
DEV = [
    "token secret",
    "voice",
    "journal",
    "store",
    "voice port",
    "HTTP port",
    "page",
    *DOORS,
    "proxy",
]


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch):
    def put(**names: str) -> Setup:
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        return read_setup()

    return put


def names(reading: Setup) -> list[str]:
    return [part.name for part in checks_for(reading)]


def told(reading: Setup) -> list[str]:
    return [str(finding) for finding in reading.results]


def test_without_settings_the_parts_of_relay_dev_are_checked(setting, folder: Path) -> None:
    reading = setting()
    first, *later = told(reading)

    assert first == "ok   settings: `relay dev` can start with them"
    assert [line.split(":")[0] for line in later] == ["skip settings, serve"] * 2
    assert names(reading) == DEV
    assert not reading.serves
    assert list(folder.iterdir()) == []


def test_complete_settings_of_relay_serve_are_checked_as_its_own(setting) -> None:
    reading = setting(
        RELAY_STORE="sqlite",
        SUPABASE_URL="https://ref.supabase.co",
        SUPABASE_SERVICE_ROLE_KEY="sb_secret_1",
        SUPABASE_AUTH_CHECK="user",
        OPENAI_API_KEY="sk-1",
        PUBLIC_URL="https://voice.example.org",
    )

    assert told(reading) == ["ok   settings: `relay serve` can start with them"]
    assert reading.serves
    assert names(reading) == [
        *("key set", "token server", "voice", "journal", "store", "voice port", "HTTP port"),
        *("page", "proxy, health", "proxy, voice"),
    ]


def test_secret_and_key_set_are_both_checked(setting) -> None:
    reading = setting(
        RELAY_STORE="sqlite", SUPABASE_URL="https://ref.supabase.co", SUPABASE_JWT_SECRET=SECRET
    )

    assert names(reading)[:2] == ["token secret", "key set"]


@pytest.mark.parametrize("name", ["SUPABASE_URL", "SUPABASE_JWKS_URL", "PUBLIC_URL"])
def test_settings_of_a_public_relay_are_meant_for_relay_serve(setting, name: str) -> None:
    """No part is checked with settings that a relay would not have."""
    reading = setting(**{name: "https://ref.example.org"})

    assert reading.results
    assert {finding.state for finding in reading.results} == {"fail"}
    assert names(reading) == []


def test_every_wrong_value_is_named_and_none_is_shown(setting) -> None:
    reading = setting(PORT="a lot", OPENAI_API_KEY="sk two words")

    assert [line.split(": ")[1] for line in told(reading)] == ["PORT", "OPENAI_API_KEY"]
    assert "two words" not in "".join(told(reading))
    assert names(reading) == []


def test_a_warning_comes_with_the_settings(setting) -> None:
    reading = setting(SUPABASE_JWT_SECRET="short", RELAY_STORE="sqlite", RELAY_ENGINE="echo")

    assert told(reading) == [
        "ok   settings: `relay serve` can start with them "
        "(SUPABASE_JWT_SECRET is shorter than 32 bytes and could be guessed)"
    ]


async def test_a_missing_local_voice_is_reported(setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.cli.check.missing_voice", lambda: "install it with `make run`")
    (voice,) = (part for part in checks_for(setting()) if part.name == "voice")
    found = await voice.run()

    assert found.state == "fail"
    assert found.what == "the echo answers instead of the voice of the settings"
    assert found.hint == "install it with `make run`"


def test_a_warning_of_relay_dev_is_reported_and_no_file_is_made(setting, folder: Path) -> None:
    reading = setting(RELAY_DATADIR="elsewhere", SUPABASE_JWT_SECRET="short")

    assert "RELAY_DATADIR is not a setting of the relay: did you mean RELAY_DATA_DIR?" in (
        reading.results[0].hint
    )
    assert "SUPABASE_JWT_SECRET is shorter than 32 bytes" in reading.results[0].hint
    assert list(folder.iterdir()) == []


def test_unreadable_agents_are_reported(setting, folder: Path) -> None:
    reading = setting(RELAY_AGENTS="agents.toml")

    assert {finding.state for finding in reading.results} == {"fail"}
    assert "agents.toml" in told(reading)[0]
    assert names(reading) == []
    assert list(folder.iterdir()) == []


async def test_a_key_of_azure_is_named_where_azure_is_meant(setting) -> None:
    reading = setting(
        AZURE_OPENAI_ENDPOINT="http://127.0.0.1:8", AZURE_OPENAI_API_KEY="k", ENGINE_TIMEOUT="2"
    )
    (voice,) = (part for part in checks_for(reading) if part.name == "voice")
    found = await voice.run()

    assert found.state == "fail"
    assert found.hint == "is AZURE_OPENAI_ENDPOINT right, and can this machine reach it?"


@needs("postgresql", "postgrest")
async def test_S3_15_the_voice_is_asked_with_the_vaults_key(setting, project: Project) -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        reading = setting(
            SUPABASE_URL=project.url,
            SUPABASE_SERVICE_ROLE_KEY=project.service_key,
            OPENAI_BASE_URL=simulator.base_url,
        )
        voice = next(part for part in checks_for(reading) if part.name == "voice")
        without = await voice.run()
        await project.sql("insert into vault.secrets (name, secret) values ('openai', 'sk-vault')")
        await project.sql(
            "update system_api_keys set vault_secret_id = 'openai', is_active = true"
            " where provider_name = 'openai'"
        )
        found = await voice.run()

    assert (without.state, found.state) == ("fail", "ok")
    assert "key not configured" in without.what


async def test_the_voice_is_asked_by_the_proxy_that_the_environment_names(folder: Path) -> None:
    """As a whole program: only the proxy knows where the voice's name leads."""
    async with (
        await simulate(SimulatorOptions(parts=scripted_parts())) as simulator,
        forward_proxy(wants_login=True) as proxy,
    ):
        voice = simulator.base_url.replace("127.0.0.1", "voice.test")
        settings = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": voice, "HTTP_PROXY": proxy.url}
        ran = await asyncio.to_thread(relay, "check", cwd=folder, **settings)
        asked = proxy.asked
    (line,) = [line for line in ran.stdout.splitlines() if line[5:].startswith("voice:")]
    assert line.startswith("ok "), ran.stdout
    assert len(asked) == 1
    assert asked[0].startswith("CONNECT voice.test:")
    assert proxy.proxy.password not in ran.stdout + ran.stderr

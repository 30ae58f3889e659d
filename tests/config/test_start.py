"""What each command starts with."""

from pathlib import Path

import pytest

from relay.auth.tokens import JwtConfig
from relay.config import (
    Settings,
    SettingsError,
    dev_settings,
    local_settings,
    secrets_of,
    serve_settings,
    trust_of,
)


def test_dev_needs_nothing_and_stays_on_this_machine(bare):
    loaded = dev_settings()
    settings = loaded.settings
    assert (settings.host, settings.port, settings.http_port) == ("127.0.0.1", 8080, 8081)
    assert (settings.relay_engine, settings.relay_store) == ("offline", "sqlite")
    assert settings.relay_data_dir == Path("var")
    assert (loaded.pages, loaded.warnings) == (True, ())


def test_dev_signs_with_a_secret_of_its_own_that_stays(bare):
    first, second = dev_settings().settings, dev_settings().settings
    assert first.supabase_jwt_secret == second.supabase_jwt_secret
    assert trust_of(first).secret == (bare / "var" / "development-secret").read_text("ascii")


def test_dev_signs_with_the_projects_secret_where_there_is_one(environ, bare):
    environ(SUPABASE_JWT_SECRET="p" * 40)
    assert trust_of(dev_settings().settings).secret == "p" * 40
    assert not (bare / "var").exists()


def test_a_data_folder_that_cannot_be_is_named(environ, bare):
    (bare / "file").write_text("in the way")
    environ(RELAY_DATA_DIR="file/var")
    with pytest.raises(SettingsError, match="RELAY_DATA_DIR=file/var cannot be used"):
        dev_settings()


@pytest.mark.parametrize(
    ("names", "engine", "key"),
    [
        ({}, "offline", None),
        ({"OPENAI_API_KEY": "sk-1234567890"}, "openai", "sk-1234567890"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, "openai", "local"),
        ({"OPENAI_API_KEY": "sk-1234567890", "RELAY_ENGINE": "echo"}, "echo", "sk-1234567890"),
        ({"OPENAI_API_KEY": ""}, "offline", None),
    ],
)
def test_in_dev_a_key_or_an_address_switches_the_real_voice_on(environ, names, engine, key):
    environ(**names)
    settings = dev_settings().settings
    said = settings.openai_api_key and settings.openai_api_key.get_secret_value()
    assert (settings.relay_engine, said) == (engine, key)


def test_commands_on_this_machine_write_nothing(bare):
    assert local_settings().relay_store == "sqlite"
    assert list(bare.iterdir()) == []


def test_the_environment_wins_over_the_file_and_empty_is_unset(environ, bare):
    lines = "PORT=7000\nDEFAULT_AGENT=from-file\nMAX_CONNECTIONS=\nLOG_LEVEL=debug\n"
    (bare / ".env").write_text(lines, "utf-8-sig")
    environ(PORT="7100", DEFAULT_AGENT="", LOG_DIR="")
    settings = local_settings()
    assert (settings.port, settings.http_port) == (7100, 7101)
    assert settings.default_agent == "from-file"
    assert settings.max_connections == 1000
    assert (settings.log_level, settings.log_dir) == ("debug", None)


def test_what_the_file_sets_is_checked_like_the_environment(bare):
    (bare / ".env").write_text("WORKERS=2\n", "utf-8")
    with pytest.raises(SettingsError, match="WORKERS is not built yet"):
        local_settings()


def test_a_file_that_is_no_text_is_named(bare):
    (bare / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        local_settings()


def test_an_override_wins_over_the_environment(environ, tmp_path):
    environ(PORT="7100", RELAY_ENGINE="offline")
    settings = dev_settings(port=0, relay_engine="echo", relay_data_dir=tmp_path / "d").settings
    assert (settings.port, settings.http_port, settings.relay_engine) == (0, 0, "echo")
    assert (tmp_path / "d" / "development-secret").exists()


def test_serve_says_what_is_wrong_even_with_overrides():
    with pytest.raises(SettingsError, match="RELAY_STORE=sqlite"):
        serve_settings(supabase_jwt_secret="s" * 40)


@pytest.mark.parametrize(
    ("names", "trust"),
    [
        ({}, JwtConfig()),
        ({"SUPABASE_JWT_SECRET": "abc"}, JwtConfig(secret="abc")),
        (
            {"SUPABASE_URL": "https://p.supabase.co/"},
            JwtConfig(
                jwks_url="https://p.supabase.co/auth/v1/.well-known/jwks.json",
                issuer="https://p.supabase.co/auth/v1",
            ),
        ),
        (
            {"SUPABASE_JWKS_URL": "https://keys.example/jwks.json"},
            JwtConfig(jwks_url="https://keys.example/jwks.json"),
        ),
        (
            {
                "SUPABASE_URL": "https://p.supabase.co",
                "SUPABASE_JWKS_URL": "https://keys.example/jwks.json",
                "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_1",
                "SUPABASE_AUTH_CHECK": "user",
            },
            JwtConfig(
                jwks_url="https://keys.example/jwks.json",
                issuer="https://p.supabase.co/auth/v1",
                auth_url="https://p.supabase.co",
                api_key="sb_secret_1",
            ),
        ),
    ],
)
def test_who_is_trusted_follows_from_the_settings(environ, names, trust):
    environ(**names)
    assert trust_of(Settings()) == trust


def test_every_secret_is_known_to_the_mask(environ):
    environ(
        OPENAI_API_KEY="sk-1", SUPABASE_JWT_SECRET="jwt-1", SUPABASE_SERVICE_ROLE_KEY="sb-1",
        AZURE_OPENAI_API_KEY="az-1",
    )  # fmt: skip
    assert sorted(secrets_of(Settings())) == ["az-1", "jwt-1", "sb-1", "sk-1"]

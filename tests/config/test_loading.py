"""Tests of loading: what each command starts with, what stops it, what it warns of."""

from pathlib import Path

import pytest

from relay.auth.tokens import JwtConfig
from relay.config import (
    Settings,
    SettingsError,
    client_secret_key,
    dev_settings,
    local_settings,
    project_of,
    secrets_of,
    serve_settings,
    trust_of,
)
from relay.interfaces import SupabaseCredentials


def test_dev_needs_no_settings_and_listens_on_loopback(bare):
    loaded = dev_settings()
    settings = loaded.settings
    assert (settings.host, settings.port, settings.http_port) == ("127.0.0.1", 8080, 8081)
    assert (settings.relay_engine, settings.relay_store) == ("offline", "sqlite")
    assert settings.relay_data_dir == Path("var")
    assert (loaded.pages, loaded.warnings) == (True, ())


def test_dev_signs_with_a_secret_that_is_kept(bare):
    first, second = dev_settings().settings, dev_settings().settings
    assert first.supabase_jwt_secret == second.supabase_jwt_secret
    assert trust_of(first).secret == (bare / "var" / "development-secret").read_text("ascii")


def test_dev_signs_with_the_projects_secret_if_it_is_set(environ, bare):
    environ(SUPABASE_JWT_SECRET="p" * 40)
    assert trust_of(dev_settings().settings).secret == "p" * 40
    assert not (bare / "var").exists()


def test_an_unusable_data_folder_is_reported(environ, bare):
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
def test_in_dev_a_key_or_an_address_selects_the_openai_engine(environ, names, engine, key):
    environ(**names)
    settings = dev_settings().settings
    said = settings.openai_api_key and settings.openai_api_key.get_secret_value()
    assert (settings.relay_engine, said) == (engine, key)


def test_local_settings_write_no_file(bare):
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


def test_the_env_file_is_checked_like_the_environment(bare):
    (bare / ".env").write_text("WORKERS=2\n", "utf-8")
    with pytest.raises(SettingsError, match="WORKERS is not implemented yet"):
        local_settings()


def test_an_env_file_that_is_not_text_is_reported(bare):
    (bare / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        local_settings()


def test_client_secrets_are_signed_with_a_key_of_their_own(environ, bare):
    environ(RELAY_STORE="sqlite", SUPABASE_JWT_SECRET="s" * 40)
    kept = client_secret_key(serve_settings().settings)
    assert kept == (bare / "var" / "token-secret").read_text("ascii")
    assert kept == client_secret_key(dev_settings().settings)
    environ(RELAY_TOKEN_SECRET="t" * 40)
    assert client_secret_key(serve_settings().settings) == "t" * 40
    environ(RELAY_TOKEN_SECRET="s" * 40)
    with pytest.raises(SettingsError, match="RELAY_TOKEN_SECRET is SUPABASE_JWT_SECRET"):
        serve_settings()


def test_an_override_wins_over_the_environment(environ, tmp_path):
    environ(PORT="7100", RELAY_ENGINE="offline")
    settings = dev_settings(port=0, relay_engine="echo", relay_data_dir=tmp_path / "d").settings
    assert (settings.port, settings.http_port, settings.relay_engine) == (0, 0, "echo")
    assert (tmp_path / "d" / "development-secret").exists()


def test_serve_reports_problems_also_with_overrides():
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
                "SUPABASE_URL": "http://kong:8000",
                "SUPABASE_JWT_ISSUER": "https://api.example.org/auth/v1",
            },
            JwtConfig(
                jwks_url="http://kong:8000/auth/v1/.well-known/jwks.json",
                issuer="https://api.example.org/auth/v1",
            ),
        ),
        (
            {"SUPABASE_JWT_SECRET": "abc", "SUPABASE_JWT_ISSUER": "supabase"},
            JwtConfig(secret="abc", issuer="supabase"),
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
def test_the_jwt_config_follows_from_the_settings(environ, names, trust):
    environ(**names)
    assert trust_of(Settings()) == trust


def test_every_secret_is_listed_for_the_log(environ):
    environ(
        OPENAI_API_KEY="sk-1", SUPABASE_JWT_SECRET="jwt-1", SUPABASE_SERVICE_ROLE_KEY="sb-1",
        AZURE_OPENAI_API_KEY="az-1",
    )  # fmt: skip
    assert sorted(secrets_of(Settings())) == ["az-1", "jwt-1", "sb-1", "sk-1"]


SECRET = "s" * 40
GOOD = {"RELAY_STORE": "sqlite", "SUPABASE_JWT_SECRET": SECRET, "OPENAI_API_KEY": "sk-1234567890"}
BOTH = {"SUPABASE_URL": "https://p.supabase.co", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_123"}


def problems_of(start):
    with pytest.raises(SettingsError) as error:
        start()
    return error.value.problems


def test_serve_starts_with_a_secret_a_store_and_a_key(environ):
    environ(**GOOD)
    loaded = serve_settings()
    assert (loaded.pages, loaded.warnings) == (False, ())
    assert loaded.settings.relay_engine == "openai"
    assert loaded.settings.relay_store == "sqlite"


def test_S3_59_an_empty_environment_reports_all_that_is_missing():
    tokens, store = problems_of(serve_settings)
    assert all(name in tokens for name in ("SUPABASE_URL", "SUPABASE_JWT_SECRET"))
    assert all(name in store for name in ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"))
    assert "RELAY_STORE=sqlite" in store


@pytest.mark.parametrize("store", ["", "supabase"])
@pytest.mark.parametrize("missing", ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"])
def test_S3_59_the_supabase_store_needs_address_and_key(environ, store, missing):
    environ(**{**BOTH, "SUPABASE_JWT_SECRET": SECRET, "RELAY_STORE": store, missing: ""})
    (problem,) = problems_of(serve_settings)
    assert missing in problem
    assert "RELAY_STORE=sqlite" in problem


@pytest.mark.parametrize("store", ["", "supabase"])
def test_serve_stores_in_the_project_whose_vault_may_have_the_key(environ, store):
    environ(**BOTH, RELAY_STORE=store)
    loaded = serve_settings()
    assert loaded.settings.relay_store == "supabase"
    assert loaded.warnings == ()
    access = project_of(loaded.settings)
    assert access == SupabaseCredentials(BOTH["SUPABASE_URL"], BOTH["SUPABASE_SERVICE_ROLE_KEY"])
    assert "sb_secret" not in repr(access)


@pytest.mark.parametrize(
    "trusted",
    [
        {"SUPABASE_URL": "https://p.supabase.co"},
        {"SUPABASE_JWT_SECRET": SECRET},
        {"SUPABASE_JWKS_URL": "https://keys.example/jwks.json"},
    ],
)
def test_one_way_to_verify_tokens_is_enough(environ, trusted):
    environ(RELAY_STORE="sqlite", **trusted)
    assert serve_settings().settings.relay_store == "sqlite"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "4"),
        ("REDIS_URL", "redis://127.0.0.1"),
    ],
)
@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_an_unimplemented_setting_is_an_error(environ, start, name, value):
    environ(**{**GOOD, name: value})
    (problem,) = problems_of(start)
    assert problem.startswith(name)
    assert "not implemented yet" in problem


def test_dev_stores_in_the_project_if_it_is_told_to(environ):
    environ(**BOTH)
    assert project_of(dev_settings().settings) is None
    environ(**BOTH, RELAY_STORE="supabase")
    assert project_of(dev_settings().settings) is not None


@pytest.mark.parametrize("missing", ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"])
def test_dev_needs_address_and_key_of_the_supabase_store_too(environ, missing):
    environ(**{**BOTH, "RELAY_STORE": "supabase", missing: ""})
    (problem,) = problems_of(dev_settings)
    assert missing in problem


@pytest.mark.parametrize("name", ["RELAY_ENGNE", "relay_engne"])
def test_a_misspelt_name_is_a_warning(environ, name):
    environ(**GOOD, **{name: "offline"})
    said = "RELAY_ENGNE is not a setting of the relay: did you mean RELAY_ENGINE?"
    assert said in serve_settings().warnings
    assert said in dev_settings().warnings


def test_names_that_an_orchestrator_adds_do_not_stop_the_relay(environ):
    environ(**GOOD, RELAY_SERVICE_HOST="10.0.0.7", RELAY_PORT="tcp://10.0.0.7:8080")
    assert len(serve_settings().warnings) == 2


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("OPENAI_API_KEYS", "OPENAI_API_KEY"),
        ("SUPABASE_SERVICE_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("MAX_CONNECTION", "MAX_CONNECTIONS"),
    ],
)
def test_a_near_miss_without_the_prefix_is_a_warning(environ, name, meant):
    environ(**GOOD, **{name: "x"})
    assert serve_settings().warnings == (
        f"{name} is not a setting of the relay: did you mean {meant}?",
    )


@pytest.mark.parametrize("start", [serve_settings, dev_settings])
@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("OPENAI_API_KEY", '"sk-quoted-0123456789"', "quotation marks"),
        ("OPENAI_API_KEY", "'sk-quoted-0123456789'", "quotation marks"),
        ("OPENAI_API_KEY", "sk-ended-0123456789\n", "a line break"),
        ("OPENAI_API_KEY", "sk-ended-0123456789\r", "a line break"),
        ("SUPABASE_JWT_SECRET", f"'{'s' * 40}'", "quotation marks"),
        ("OPENAI_BASE_URL", '"https://api.openai.com/v1"', "quotation marks"),
        ("PORT", '"8080"', "quotation marks"),
        ("ALLOWED_ORIGINS", " https://a.example.org", "a space"),
    ],
)
def test_a_value_copied_with_what_stood_around_it_is_refused_by_name(
    environ, start, name, value, what
):
    environ(**{**GOOD, name: value})
    (problem,) = problems_of(start)
    assert problem.startswith(f"{name} has ")
    assert what in problem
    assert value.strip("\"' \r\n") not in problem


def test_a_prompt_may_begin_and_end_as_it_likes(environ):
    environ(**GOOD, SYSTEM_PROMPT='"Hello" is what you say first, never "Hi".\n"Bye"\n')
    assert serve_settings().warnings == ()


def test_unrelated_names_are_ignored(environ):
    environ(**GOOD, SOMETHING_ELSE="x", OPENAI_ORG="o", SUPABASE_ANON_KEY="a")
    assert serve_settings().warnings == ()


@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_one_port_for_both_listeners_is_a_contradiction(environ, start):
    environ(**GOOD, PORT="9000", HTTP_PORT="9000")
    (problem,) = problems_of(start)
    assert "PORT and HTTP_PORT" in problem


def test_port_zero_twice_is_two_free_ports(environ):
    environ(**GOOD, PORT="0")
    settings = serve_settings().settings
    assert (settings.port, settings.http_port) == (0, 0)


def test_the_user_check_needs_address_and_key(environ):
    environ(**GOOD, SUPABASE_AUTH_CHECK="user")
    (problem,) = problems_of(serve_settings)
    assert "SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY" in problem


def test_all_problems_are_reported_at_once(environ):
    environ(PORT="x", LOG_LEVEL="loud", WORKERS="2", RELAY_STT="google")
    names = [
        problem.split()[0].split("=")[0].rstrip(":") for problem in problems_of(serve_settings)
    ]
    assert sorted(names) == ["LOG_LEVEL", "PORT", "RELAY_STT", "WORKERS"]


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"OPENAI_API_KEY": ""}, "OPENAI_API_KEY"),
        ({"SUPABASE_JWT_SECRET": "short"}, "SUPABASE_JWT_SECRET"),
        ({"SUPABASE_URL": "http://p.example.org"}, "SUPABASE_URL"),
        ({"SUPABASE_JWKS_URL": "http://p.example.org/jwks"}, "SUPABASE_JWKS_URL"),
    ],
)
def test_S3_9_doubtful_settings_are_warned_of(environ, changes, about):
    environ(**{**GOOD, **changes})
    (warning,) = serve_settings().warnings
    assert warning.startswith(about)


def test_http_on_loopback_is_not_warned_of(environ):
    environ(**GOOD, SUPABASE_URL="http://127.0.0.1:54321")
    assert serve_settings().warnings == ()


# ---------------------------------------------------------------------------------------- Azure

AZURE = {
    "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com",
    "AZURE_OPENAI_API_KEY": "very-private",
    "AZURE_OPENAI_DEPLOYMENT": "rt",
    "OPENAI_TRANSCRIPTION_MODEL": "asr",
}
WITHOUT_KEY = {name: GOOD[name] for name in GOOD if name != "OPENAI_API_KEY"}


@pytest.mark.parametrize("deployment", ["rt", ""])
@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_azure_is_the_openai_engine_at_another_address(environ, start, deployment):
    environ(**WITHOUT_KEY, **{**AZURE, "AZURE_OPENAI_DEPLOYMENT": deployment})
    loaded = start()
    assert loaded.settings.relay_engine == "openai"
    assert loaded.settings.azure_openai_endpoint == "https://r.openai.azure.com"
    assert loaded.warnings == ()
    assert "private" not in repr(loaded)


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        (
            "AZURE_OPENAI_API_KEY",
            "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT without AZURE_OPENAI_API_KEY",
        ),
        (
            "AZURE_OPENAI_ENDPOINT",
            "AZURE_OPENAI_API_KEY and AZURE_OPENAI_DEPLOYMENT without AZURE_OPENAI_ENDPOINT",
        ),
    ],
)
@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_an_incomplete_azure_configuration_is_reported(environ, start, missing, problem):
    environ(**WITHOUT_KEY, **{**AZURE, missing: ""})
    (said,) = problems_of(start)
    assert said.startswith(problem)
    assert "private" not in said


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("OPENAI_API_KEY", "very-private-too", "AZURE_OPENAI_API_KEY"),
        ("OPENAI_BASE_URL", "https://api.openai.com/v1", "AZURE_OPENAI_ENDPOINT"),
    ],
)
@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_two_providers_at_once_are_a_contradiction(environ, start, name, value, other):
    environ(**WITHOUT_KEY, **AZURE, **{name: value})
    (said,) = problems_of(start)
    assert said.startswith(f"{name} and {other} are both set")
    assert "private" not in said


def test_azure_without_a_transcription_deployment_is_warned_of(environ):
    environ(**WITHOUT_KEY, **{**AZURE, "OPENAI_TRANSCRIPTION_MODEL": ""})
    (warning,) = serve_settings().warnings
    assert warning.startswith("OPENAI_TRANSCRIPTION_MODEL is not set")


def test_an_invalid_azure_address_is_reported(environ):
    environ(**WITHOUT_KEY, **{**AZURE, "AZURE_OPENAI_ENDPOINT": "r.openai.azure.com"})
    (said,) = problems_of(serve_settings)
    assert said == "AZURE_OPENAI_ENDPOINT: must be an address that begins with https://"


def test_the_repr_of_supabase_credentials_hides_the_key() -> None:
    assert "sb_secret" not in repr(SupabaseCredentials("https://p.supabase.co", "sb_secret_1"))

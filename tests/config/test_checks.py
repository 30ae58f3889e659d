"""What a production relay will not start with, and what it only warns of."""

import pytest

from relay.config import SettingsError, dev_settings, project_of, serve_settings
from relay.interfaces import SupabaseCredentials

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


def test_S3_59_nothing_set_names_all_that_is_missing():
    tokens, store = problems_of(serve_settings)
    assert all(name in tokens for name in ("SUPABASE_URL", "SUPABASE_JWT_SECRET"))
    assert all(name in store for name in ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"))
    assert "RELAY_STORE=sqlite" in store


@pytest.mark.parametrize("store", ["", "supabase"])
@pytest.mark.parametrize("missing", ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"])
def test_S3_59_the_supabase_store_wants_address_and_key(environ, store, missing):
    environ(**{**BOTH, "SUPABASE_JWT_SECRET": SECRET, "RELAY_STORE": store, missing: ""})
    (problem,) = problems_of(serve_settings)
    assert missing in problem
    assert "RELAY_STORE=sqlite" in problem


@pytest.mark.parametrize("store", ["", "supabase"])
def test_serve_keeps_words_in_the_project_and_its_vault_may_have_the_key(environ, store):
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
def test_any_one_way_to_verify_tokens_will_do(environ, trusted):
    environ(RELAY_STORE="sqlite", **trusted)
    assert serve_settings().settings.relay_store == "sqlite"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "4"),
        ("REDIS_URL", "redis://127.0.0.1"),
        ("RELAY_ENGINE", "cascade"),
    ],
)
@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_a_promised_name_that_is_not_built_is_an_error(environ, start, name, value):
    environ(**{**GOOD, name: value})
    (problem,) = problems_of(start)
    assert problem.startswith(name)
    assert "not built yet" in problem


def test_dev_keeps_words_in_the_project_when_it_is_told_to(environ):
    environ(**BOTH)
    assert project_of(dev_settings().settings) is None
    environ(**BOTH, RELAY_STORE="supabase")
    assert project_of(dev_settings().settings) is not None


@pytest.mark.parametrize("missing", ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"])
def test_dev_wants_what_the_store_needs_as_well(environ, missing):
    environ(**{**BOTH, "RELAY_STORE": "supabase", missing: ""})
    (problem,) = problems_of(dev_settings)
    assert missing in problem


@pytest.mark.parametrize("name", ["RELAY_ENGNE", "relay_engne"])
def test_a_misspelt_name_is_an_error_on_serve_and_a_warning_in_dev(environ, name):
    environ(**GOOD, **{name: "offline"})
    said = "RELAY_ENGNE is not a setting of the relay: did you mean RELAY_ENGINE?"
    assert problems_of(serve_settings) == (said,)
    assert said in dev_settings().warnings


def test_names_of_others_are_none_of_our_business(environ):
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


def test_the_user_check_wants_address_and_key(environ):
    environ(**GOOD, SUPABASE_AUTH_CHECK="user")
    (problem,) = problems_of(serve_settings)
    assert "SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY" in problem


def test_all_problems_are_told_at_once(environ):
    environ(PORT="x", LOG_LEVEL="loud", WORKERS="2", RELAY_STOER="sqlite", RELAY_ENGINE="cascade")
    names = [
        problem.split()[0].split("=")[0].rstrip(":") for problem in problems_of(serve_settings)
    ]
    assert sorted(names) == ["LOG_LEVEL", "PORT", "RELAY_ENGINE", "RELAY_STOER", "WORKERS"]


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"OPENAI_API_KEY": ""}, "OPENAI_API_KEY"),
        ({"SUPABASE_JWT_SECRET": "short"}, "SUPABASE_JWT_SECRET"),
        ({"SUPABASE_URL": "http://p.example.org"}, "SUPABASE_URL"),
        ({"SUPABASE_JWKS_URL": "http://p.example.org/jwks"}, "SUPABASE_JWKS_URL"),
    ],
)
def test_S3_9_some_things_are_only_warned_of(environ, changes, about):
    environ(**{**GOOD, **changes})
    (warning,) = serve_settings().warnings
    assert warning.startswith(about)


def test_an_insecure_address_on_this_machine_is_no_worry(environ):
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
def test_azure_is_openai_at_another_address(environ, start, deployment):
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
def test_half_of_azure_is_named(environ, start, missing, problem):
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


def test_azure_writes_down_with_a_deployment_of_its_own(environ):
    environ(**WITHOUT_KEY, **{**AZURE, "OPENAI_TRANSCRIPTION_MODEL": ""})
    (warning,) = serve_settings().warnings
    assert warning.startswith("OPENAI_TRANSCRIPTION_MODEL is not set")


def test_an_address_that_is_none_is_named(environ):
    environ(**WITHOUT_KEY, **{**AZURE, "AZURE_OPENAI_ENDPOINT": "r.openai.azure.com"})
    (said,) = problems_of(serve_settings)
    assert said == "AZURE_OPENAI_ENDPOINT: must be an address that begins with https://"

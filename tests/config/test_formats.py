"""What a value may look like, and that an error names the setting but never shows a secret."""

import pytest

from relay.config import Settings, SettingsError, local_settings


def problems_of(**overrides):
    with pytest.raises(SettingsError) as error:
        local_settings(**overrides)
    return error.value.problems


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "abc"),
        ("port", "65536"),
        ("port", "-1"),
        ("http_port", "70000"),
        ("max_connections", "0"),
        ("max_sessions_per_user", "-1"),
        ("connection_timeout", "0"),
        ("connection_timeout", "soon"),
        ("idle_timeout", "0"),
        ("idle_timeout", "nan"),
        ("engine_timeout", "1000"),
        ("drain_timeout", "-1"),
        ("max_message_bytes", "10"),
        ("public_url", "voice.example.org"),
        ("supabase_url", "ftp://project.example"),
        ("supabase_url", "https://"),
        ("openai_base_url", "api.openai.com"),
        ("allowed_origins", "app.example.org"),
        ("allowed_origins", "https://app.example.org/path"),
        ("log_level", "loud"),
        ("relay_engine", "gpt"),
        ("supabase_auth_check", "yes"),
        ("openai_api_key", "sk-two words"),
        ("openai_api_key", "sk-line\nX-Injected: 1"),
        ("supabase_service_role_key", "ключ"),
        ("supabase_jwt_secret", "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(environ, name, value):
    environ(**{name.upper(): value})
    (problem,) = problems_of()
    assert problem.startswith(f"{name.upper()}: ")
    assert "\n" not in problem


def test_an_http_port_beyond_the_last_port_is_named():
    (problem,) = problems_of(port=65535)
    assert problem.startswith("HTTP_PORT: ")


def test_an_error_about_a_secret_does_not_hold_it(environ):
    environ(OPENAI_API_KEY="sk-private key", SUPABASE_JWT_SECRET="-----BEGIN private-----")
    text = "\n".join(problems_of())
    assert "OPENAI_API_KEY" in text
    assert "SUPABASE_JWT_SECRET" in text
    assert "private" not in text


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("*", ()),
        ("https://a.example, *", ()),
        ("https://A.example/", ("https://a.example",)),
        (
            "https://a.example , http://localhost:8081,",
            ("https://a.example", "http://localhost:8081"),
        ),
    ],
)
def test_origins_are_read_as_browsers_send_them(environ, text, origins):
    environ(ALLOWED_ORIGINS=text)
    assert Settings().allowed_origins == origins


@pytest.mark.parametrize(
    ("text", "level"),
    [("DEBUG", "debug"), ("warn", "warning"), ("Warning", "warning"), ("", "info")],
)
def test_log_levels_as_people_write_them(environ, text, level):
    environ(LOG_LEVEL=text)
    assert Settings().log_level == level


def test_an_address_loses_its_last_slash(environ):
    environ(SUPABASE_URL="https://project.supabase.co/", OPENAI_BASE_URL="ws://127.0.0.1:9090/v1/")
    settings = Settings()
    assert settings.supabase_url == "https://project.supabase.co"
    assert settings.openai_base_url == "ws://127.0.0.1:9090/v1"


def test_a_key_with_blanks_around_it_is_the_key(environ):
    environ(OPENAI_API_KEY="  sk-1234567890 \n")
    key = Settings().openai_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1234567890"

"""Tests of the settings: their names and defaults, and what a value may look like."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from relay.config import Settings, SettingsError, describe, env_example, local_settings
from relay.config.loading import UNIMPLEMENTED

ROOT = Path(__file__).parents[2]

PROMISED_AND_BUILT = """
    HOST PORT HTTP_PORT MAX_CONNECTIONS MAX_SESSIONS_PER_USER CONNECTION_TIMEOUT IDLE_TIMEOUT
    MAX_MESSAGE_BYTES ENGINE_TIMEOUT DEFAULT_AGENT ALLOWED_ORIGINS PUBLIC_URL LOG_LEVEL LOG_DIR
    HTTPS_PROXY HTTP_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR
    TRUSTED_PROXIES MAX_CONNECTIONS_PER_IP MAX_CONNECTS_PER_MINUTE
    DRAIN_TIMEOUT OPENAI_API_KEY OPENAI_BASE_URL OPENAI_REALTIME_MODEL OPENAI_TRANSCRIPTION_MODEL
    SUPABASE_URL SUPABASE_SERVICE_ROLE_KEY SUPABASE_JWT_SECRET SUPABASE_JWKS_URL
    SUPABASE_JWT_ISSUER SUPABASE_AUTH_CHECK RELAY_TOKEN_SECRET
    RELAY_ENGINE RELAY_STORE RELAY_DATA_DIR RELAY_AGENTS
    RELAY_PRICES RELAY_SUMMARY_MODEL RELAY_SUMMARY_URL RELAY_SUMMARY_KEY
    AZURE_OPENAI_ENDPOINT AZURE_OPENAI_API_KEY AZURE_OPENAI_DEPLOYMENT
    RELAY_STT RELAY_LLM RELAY_TTS RELAY_FALLBACK RELAY_DEVICE STT_MODEL STT_LANGUAGE
    WHISPER_API_KEY LLM_BASE_URL LLM_MODEL LLM_MODEL_ALIASES LLM_API_KEY OLLAMA_HOST SYSTEM_PROMPT
    TTS_MODEL
    RELAY_DOORS RELAY_OPEN_DOORS SESSIONS_PORT SOCKETIO_PORT SERVICES_PORT MAX_CONCURRENT_SESSIONS
    SESSION_TIMEOUT_MINUTES SESSIONS_LEGACY_FALLBACK AUDIO_CHUNK_SIZE REQUEST_TIMEOUT
    LIVEKIT_URL LIVEKIT_API_KEY LIVEKIT_API_SECRET LIVEKIT_DEFAULT_ROOM_NAME
    EMBEDDINGS_BASE_URL EMBEDDINGS_MODEL
    TTS_VOICE ELEVENLABS_API_KEY ELEVENLABS_VOICE_ID AZURE_SPEECH_KEY AZURE_SPEECH_REGION
"""


def test_the_settings_are_the_promised_ones():
    assert sorted(one.name for one in describe()) == sorted(PROMISED_AND_BUILT.split())


def test_the_defaults_are_as_promised():
    settings = Settings()
    assert (settings.port, settings.http_port) == (8080, 8081)
    assert settings.host == "0.0.0.0"  # noqa: S104 - what a server listens on
    assert settings.max_connections == 1000
    assert settings.connection_timeout == 1_800_000
    assert settings.idle_timeout == 300
    assert settings.engine_timeout == 10
    assert settings.drain_timeout == 60
    assert settings.max_message_bytes == 10 * 1024 * 1024
    assert settings.openai_realtime_model == "gpt-realtime-2.1"
    assert settings.openai_transcription_model == "gpt-realtime-whisper"


def test_S0_47_env_example_is_generated_from_the_settings():
    assert (ROOT / ".env.example").read_text("utf-8") == env_example()


def test_S0_47_env_example_with_every_line_uncommented_means_the_defaults(bare):
    plain = Settings()
    lines = [line for line in env_example().splitlines() if line.startswith("#") and "=" in line]
    uncommented = [line.removeprefix("#") for line in lines if not line.startswith("# ")]
    (bare / ".env").write_text("\n".join(uncommented), "utf-8")
    assert set(dotenv_values(".env")) == set(PROMISED_AND_BUILT.split())
    assert Settings().model_dump(exclude={"relay_store"}) == plain.model_dump(
        exclude={"relay_store"}
    )


def test_unimplemented_settings_are_not_shown():
    shown = env_example().lower()
    for name in UNIMPLEMENTED:
        assert name not in shown


def test_every_setting_has_a_description():
    assert all(one.help and len(one.help) < 90 for one in describe())


def test_the_text_of_the_settings_hides_their_secrets(environ):
    environ(
        OPENAI_API_KEY="sk-very-private", SUPABASE_JWT_SECRET="jwt-very-private",
        SUPABASE_SERVICE_ROLE_KEY="sb_secret_very-private",
    )  # fmt: skip
    settings = Settings()
    assert "private" not in f"{settings!r} {settings} {settings.model_dump()}"


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
        ("trusted_proxies", "nginx"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "127.0.0.1,none"),
        ("log_level", "loud"),
        ("relay_engine", "gpt"),
        ("relay_stt", "elevenlabs"),
        ("relay_llm", "azure"),
        ("relay_tts", "google"),
        ("relay_device", "tpu"),
        ("relay_fallback", "gpt"),
        ("relay_fallback", "stt=elevenlabs"),
        ("relay_fallback", "stt"),
        ("relay_fallback", "offline"),
        ("relay_fallback", "llm=local,vad=local"),
        ("stt_language", "English please"),
        ("llm_base_url", "localhost:8000"),
        ("ollama_host", "ftp://127.0.0.1"),
        ("ollama_host", "127.0.0.1:many"),
        ("azure_speech_region", "West Europe"),
        ("elevenlabs_api_key", "two words"),
        ("supabase_auth_check", "yes"),
        ("supabase_jwt_issuer", "https://one.example https://two.example"),
        ("openai_api_key", "sk-two words"),
        ("openai_api_key", "sk-line\nX-Injected: 1"),
        ("supabase_service_role_key", "ключ"),
        ("relay_token_secret", "too short"),
        ("supabase_jwt_secret", "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line(environ, name, value):
    environ(**{name.upper(): value})
    (problem,) = problems_of()
    assert problem.startswith(f"{name.upper()}: ")
    assert "\n" not in problem


def test_a_derived_http_port_out_of_range_is_reported():
    (problem,) = problems_of(port=65535)
    assert problem.startswith("HTTP_PORT: ")


def test_an_error_about_a_secret_does_not_quote_it(environ):
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
def test_origins_are_normalized_to_what_browsers_send(environ, text, origins):
    environ(ALLOWED_ORIGINS=text)
    assert Settings().allowed_origins == origins


@pytest.mark.parametrize(
    ("text", "proxies"),
    [
        ("", ("127.0.0.0/8", "::1")),
        ("none", ()),
        ("10.0.0.0/8 , 192.0.2.7,", ("10.0.0.0/8", "192.0.2.7")),
    ],
)
def test_proxies_are_addresses_and_networks(environ, text, proxies):
    environ(TRUSTED_PROXIES=text)
    assert Settings().trusted_proxies == proxies


@pytest.mark.parametrize(
    ("text", "level"),
    [("DEBUG", "debug"), ("warn", "warning"), ("Warning", "warning"), ("", "info")],
)
def test_log_levels_are_read_in_any_spelling(environ, text, level):
    environ(LOG_LEVEL=text)
    assert Settings().log_level == level


@pytest.mark.parametrize(("text", "host"), [("[::]", "::"), ("[::1]", "::1"), ("::", "::")])
def test_an_ipv6_address_may_be_written_as_in_urls(environ, text, host):
    environ(HOST=text)
    assert Settings().host == host


def test_a_trailing_slash_of_an_address_is_removed(environ):
    environ(SUPABASE_URL="https://project.supabase.co/", OPENAI_BASE_URL="ws://127.0.0.1:9090/v1/")
    settings = Settings()
    assert settings.supabase_url == "https://project.supabase.co"
    assert settings.openai_base_url == "ws://127.0.0.1:9090/v1"


def test_blanks_around_a_key_are_removed(environ):
    environ(OPENAI_API_KEY="  sk-1234567890 \n")
    key = Settings().openai_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1234567890"

"""The names of the environment are those that were promised, and are shown as they are."""

from pathlib import Path

from dotenv import dotenv_values

from relay.config import Settings, describe, env_example
from relay.config.loading import UNBUILT, UNBUILT_ENGINES

ROOT = Path(__file__).parents[2]

PROMISED_AND_BUILT = """
    HOST PORT HTTP_PORT MAX_CONNECTIONS MAX_SESSIONS_PER_USER CONNECTION_TIMEOUT IDLE_TIMEOUT
    MAX_MESSAGE_BYTES ENGINE_TIMEOUT DEFAULT_AGENT ALLOWED_ORIGINS PUBLIC_URL LOG_LEVEL LOG_DIR
    DRAIN_TIMEOUT OPENAI_API_KEY OPENAI_BASE_URL OPENAI_REALTIME_MODEL OPENAI_TRANSCRIPTION_MODEL
    SUPABASE_URL SUPABASE_SERVICE_ROLE_KEY SUPABASE_JWT_SECRET SUPABASE_JWKS_URL
    SUPABASE_AUTH_CHECK RELAY_ENGINE RELAY_STORE RELAY_DATA_DIR RELAY_AGENTS
    RELAY_PRICES RELAY_SUMMARY_MODEL RELAY_SUMMARY_URL RELAY_SUMMARY_KEY
    AZURE_OPENAI_ENDPOINT AZURE_OPENAI_API_KEY AZURE_OPENAI_DEPLOYMENT
"""


def test_the_names_are_the_promised_ones():
    assert sorted(one.name for one in describe()) == sorted(PROMISED_AND_BUILT.split())


def test_the_defaults_are_the_promised_ones():
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


def test_env_example_is_generated_from_the_names():
    assert (ROOT / ".env.example").read_text("utf-8") == env_example()


def test_env_example_with_every_line_uncommented_means_the_defaults(bare):
    plain = Settings()
    lines = [line for line in env_example().splitlines() if line.startswith("#") and "=" in line]
    uncommented = [line.removeprefix("#") for line in lines if not line.startswith("# ")]
    (bare / ".env").write_text("\n".join(uncommented), "utf-8")
    assert set(dotenv_values(".env")) == set(PROMISED_AND_BUILT.split())
    assert Settings().model_dump(exclude={"relay_store"}) == plain.model_dump(
        exclude={"relay_store"}
    )


def test_nothing_that_is_not_built_is_shown():
    shown = env_example().lower()
    for name in (*UNBUILT, *UNBUILT_ENGINES):
        assert name not in shown


def test_every_name_says_what_it_is():
    assert all(one.help and len(one.help) < 90 for one in describe())


def test_no_secret_shows_in_the_settings_text(environ):
    environ(
        OPENAI_API_KEY="sk-very-private", SUPABASE_JWT_SECRET="jwt-very-private",
        SUPABASE_SERVICE_ROLE_KEY="sb_secret_very-private",
    )  # fmt: skip
    settings = Settings()
    assert "private" not in f"{settings!r} {settings} {settings.model_dump()}"

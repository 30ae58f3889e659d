"""Tests of the agents and tool secrets that a relay starts with."""

import pytest

from relay.agents.agent import OpenCatalog, StaticCatalog
from relay.config import SettingsError, dev_settings, serve_settings

SERVE = {"RELAY_STORE": "sqlite", "SUPABASE_JWT_SECRET": "s" * 40, "OPENAI_API_KEY": "sk-1"}
TOOL = """
[agents.default]
voice = "sage"
[agents.default.server_tools.lookup]
url = "https://crm.example.org/lookup"
secret_env = "CRM_KEY"
"""


@pytest.fixture
def agents(environ, bare):
    """Write a file of agents and name it; the environment is one that serves."""

    def put(text, **names):
        (bare / "agents.toml").write_text(text, "utf-8")
        environ(**SERVE, RELAY_AGENTS="agents.toml", **names)

    return put


def problems_of(start):
    with pytest.raises(SettingsError) as error:
        start()
    return error.value.problems


@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_without_a_file_any_agent_id_is_accepted(environ, start):
    environ(**SERVE)
    assert isinstance(start().agents, OpenCatalog)


@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_the_agents_of_the_file_are_loaded(agents, start):
    agents('[agents.default]\nvoice = "sage"\n[agents.other]\n')
    loaded = start()
    assert isinstance(loaded.agents, StaticCatalog)
    assert set(loaded.agents.all) == {"default", "other"}
    assert loaded.warnings == ()


@pytest.mark.parametrize("start", [serve_settings, dev_settings])
def test_a_mistake_in_the_file_prevents_the_start(agents, start):
    agents('[agents.default]\nvoise = "sage"\n')
    expected = "agents.toml: agent 'default': voise: is not known here; did you mean voice?"
    assert problems_of(start) == (expected,)


def test_a_missing_file_prevents_the_start(environ):
    environ(**SERVE, RELAY_AGENTS="none.toml")
    told = "RELAY_AGENTS=none.toml cannot be read: No such file or directory"
    assert problems_of(serve_settings) == (told,)


def test_a_default_agent_missing_from_the_file_is_warned_of(agents):
    agents("[agents.tutor]\n")
    (warning,) = serve_settings().warnings
    assert warning.startswith("DEFAULT_AGENT=default is not an agent of agents.toml")


def test_tool_secrets_come_from_the_environment_and_are_not_in_the_repr(agents):
    agents(TOOL, CRM_KEY="very-private")
    loaded = serve_settings()
    assert loaded.tool_secrets == {"CRM_KEY": "very-private"}
    assert "very-private" not in repr(loaded)


def test_tool_secrets_may_come_from_the_env_file(agents, bare):
    agents(TOOL)
    (bare / ".env").write_text("CRM_KEY=from-file\n", "utf-8")
    assert serve_settings().tool_secrets == {"CRM_KEY": "from-file"}


def test_a_missing_tool_secret_is_reported(agents):
    agents(TOOL)
    (problem,) = problems_of(serve_settings)
    assert problem == (
        "agents.toml: agent 'default': server_tools.lookup.secret_env:"
        " CRM_KEY is not set in the environment"
    )


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "SUPABASE_JWT_SECRET"])
def test_a_tool_cannot_use_a_secret_of_the_relay(agents, name):
    agents(TOOL.replace("CRM_KEY", name))
    (problem,) = problems_of(serve_settings)
    assert f"{name} is a setting of the relay" in problem
    assert SERVE[name] not in problem

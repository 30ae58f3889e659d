"""The file of agents: what is in it, and what is wrong with it."""

import re
from pathlib import Path

import pytest

from relay.agents import config as agent_file
from relay.agents.config import (
    AgentConfig,
    AgentLimits,
    InvalidAgents,
    ServerToolConfig,
    load_agents,
)
from relay.realtime.client_encoder import HIDEABLE
from relay.realtime.client_policy import LOCKABLE


@pytest.fixture
def write(tmp_path):
    """Write the file; returns its path."""

    def put(text):
        path = tmp_path / "agents.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


def problems_of(path):
    with pytest.raises(InvalidAgents) as bad:
        load_agents(path)
    return bad.value.problems


async def test_the_agents_of_a_file_are_found_by_their_ids(write):
    path = write('[agents.tutor]\nvoice = "sage"\n[agents."5b6f8f5e-a9e7"]\nroles = ["coach"]\n')
    agents = load_agents(path)
    assert set(agents.all) == {"tutor", "5b6f8f5e-a9e7"}
    tutor = await agents.find("tutor")
    assert tutor is not None
    assert (tutor.offer.agent_id, tutor.offer.voice) == ("tutor", "sage")
    assert await agents.find("Tutor") is None


def test_a_byte_order_mark_is_no_mistake(write):
    assert set(load_agents(write("\ufeff[agents.a]\n")).all) == {"a"}


def test_a_mistake_names_file_agent_and_key(write):
    path = write('[agents.tutor]\nvoise = "sage"\n[agents.other]\npace_ms = 1\n')
    first, second = problems_of(path)
    assert first == f"{path}: agent 'tutor': voise: is not known here; did you mean voice?"
    assert second.startswith(f"{path}: agent 'other': pace_ms: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no agent; write one as [agents.NAME]"),
        ("[agents]\n", "has no agent; write one as [agents.NAME]"),
        ("[agent.tutor]\n", "'agent' is not known here; agents are written as [agents.NAME]"),
        ("agents = 5\n", "'agents' must be a table; agents are written as [agents.NAME]"),
        ("[agents]\ntutor = 5\n", "agent 'tutor': must be a table"),
        ('[agents.""]\n', "agent '': its name must be printable and have 1 to 128 characters"),
        ('[agents."a\\nb"]\n', "agent 'a\\nb': its name must be printable"),
        ("[agents.tutor\n", "is no TOML: "),
        (b"[agents.\xff]\n", "is not UTF-8"),
        ('[agents.a]\nvoice = "x"\nvoice = "y"\n', "is no TOML: "),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_told(write, text, problem):
    path = write(text)
    (said,) = problems_of(path)
    assert said.startswith(f"{path}: {problem}")
    assert "\n" not in said


def test_a_file_that_is_not_there_is_told(tmp_path):
    path = tmp_path / "none.toml"
    assert problems_of(path) == (f"{path}: cannot be read: No such file or directory",)
    assert problems_of(tmp_path) == (f"{tmp_path}: cannot be read: Is a directory",)


def test_a_file_without_an_end_is_not_read_to_it(write, monkeypatch):
    monkeypatch.setattr(agent_file, "MAX_FILE", 10)
    path = write("[agents.tutor]\n")
    assert problems_of(path) == (f"{path}: is larger than 10 bytes",)


# ------------------------------------------------------------------------------ what the docs say

DOCS = (Path(__file__).parents[2] / "docs" / "agents.md").read_text("utf-8")


def test_the_example_of_the_docs_is_read(write):
    (example, _) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    agents = load_agents(write(example)).all
    assert set(agents) == {"tutor", "rehearsal"}
    tutor = agents["tutor"].offer
    assert tutor.locked >= {"voice", "instructions", "tools", "tool_choice"}
    assert [tool.secret_env for tool in tutor.server_tools] == ["SCHOOL_KEY"]
    assert agents["rehearsal"].offer.locked == {"model"}


def test_every_key_is_in_the_docs():
    for table, prefix in ((AgentConfig, ""), (AgentLimits, "limits."), (ServerToolConfig, "")):
        for name in table.model_fields:
            known = f"`{prefix}{name}`" in DOCS or f"`{name}.NAME`" in DOCS or name == "limits"
            assert known, name
    for name in LOCKABLE | HIDEABLE:
        assert f"`{name}`" in DOCS or f"`limits.{name}`" in DOCS, name

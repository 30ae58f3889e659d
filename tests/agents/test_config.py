"""Tests of agents in a file or a row: what every key means, and how a mistake is reported."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from relay.agents import config as agent_file
from relay.agents.config import (
    AgentConfig,
    AgentLimits,
    InvalidAgent,
    InvalidAgents,
    ServerToolConfig,
    load_agents,
    read_agent,
)
from relay.realtime.client_encoder import HIDEABLE
from relay.realtime.client_policy import LOCKABLE
from relay.realtime.grant import HIDDEN, Bounds, Grant, ServerTool
from relay.realtime.opening import granted_session_update

WHOLE = """
model = "gpt-realtime-2.1"
voice = "sage"
instructions = "Be kind."
output_modalities = ["audio"]
open = ["voice"]
locked = ["turn_detection", "speed"]
hidden = ["instructions", "server_tools", "voice"]
roles = ["learner", "admin"]
subs = ["5b6f8f5e-0000-4000-8000-00000000a9e7"]
greeting = "Good morning!"
pace_ms = 200
store_text = false
system_items = "answer"

[[tools]]
name = "look"
description = "Look at the page."
parameters = { type = "object", properties = { page = { type = "integer" } } }

[server_tools.lookup]
description = "Look up a learner."
parameters = { type = "object", properties = { id = { type = "string" } } }
url = "https://crm.example.org/lookup"
secret_env = "CRM_KEY"
header = "X-Api-Key"
timeout_s = 3
max_bytes = 1000

[server_tools.clock]
entry_point = "school.tools:clock"

[limits]
session_seconds = 900
idle_seconds = 60.5
max_output_tokens = 2000
"""


def read(text: str):
    return read_agent("tutor", tomllib.loads(text))


def test_every_key_is_in_the_offer():
    agent = read(WHOLE)
    assert agent.roles == {"learner", "admin"}
    assert agent.subs == {"5b6f8f5e-0000-4000-8000-00000000a9e7"}
    assert agent.offer == Grant(
        caller=agent.offer.caller,
        agent_id="tutor",
        model="gpt-realtime-2.1",
        voice="sage",
        instructions="Be kind.",
        tools=(
            {
                "type": "function",
                "name": "look",
                "description": "Look at the page.",
                "parameters": {"type": "object", "properties": {"page": {"type": "integer"}}},
            },
        ),
        output_modalities=("audio",),
        server_tools=(
            ServerTool(
                name="lookup",
                description="Look up a learner.",
                parameters={"type": "object", "properties": {"id": {"type": "string"}}},
                url="https://crm.example.org/lookup",
                secret_env="CRM_KEY",
                header="X-Api-Key",
                timeout_s=3.0,
                max_bytes=1000,
            ),
            ServerTool(
                name="clock",
                description="",
                parameters={"type": "object", "properties": {}},
                entry_point="school.tools:clock",
            ),
        ),
        greeting="Good morning!",
        overridable=frozenset({"voice"}),
        extra_locks=frozenset({"turn_detection", "speed"}),
        hidden=frozenset({"instructions", "server_tools", "voice"}),
        bounds=Bounds(
            session_seconds=900,
            idle_seconds=60.5,
            max_output_tokens=2000,
            pace_ms=200,
        ),
        store_text=False,
        system_items="answer",
    )


def test_an_agent_that_sets_nothing_locks_nothing():
    offer = read("").offer
    assert offer == Grant(caller=offer.caller, agent_id="tutor")
    assert offer.locked_fields == {"model"}
    assert offer.hidden == HIDDEN


def test_a_set_field_is_locked_unless_it_is_open():
    assert read('voice = "sage"\ninstructions = "x"\nopen = ["voice"]').offer.locked_fields == {
        "instructions",
        "model",
        "prompt",
        "tracing",
    }


def test_every_lockable_field_can_be_locked():
    assert read(f"locked = {json.dumps(sorted(LOCKABLE))}").offer.locked_fields == LOCKABLE | {
        "model"
    }


def test_an_empty_list_of_tools_differs_from_no_list():
    assert read("tools = []").offer.tools == ()
    assert read("").offer.tools is None


def test_an_empty_hidden_list_hides_nothing():
    assert read("hidden = []").offer.hidden == frozenset()


def test_the_session_update_of_an_offer_is_json():
    update = granted_session_update(read(WHOLE).offer, {"model": "w"})
    assert json.loads(json.dumps(update)) == update


def test_a_database_row_is_read_in_the_same_way():
    row = json.loads(json.dumps(tomllib.loads(WHOLE)))
    assert read_agent("tutor", row) == read(WHOLE)


MISTAKES = [
    ('modell = "x"', "modell: is not known here; did you mean model?"),
    ("zzz = 1", "zzz: is not known here"),
    ("voice = 5", "voice: should be a valid string"),
    ('voice = "a b"', "voice: "),
    ('model = "x&y=z"', "model: "),
    ('instructions = ""', "instructions: "),
    ('tools = "look"', "tools: should be a valid list"),
    ('tools = [{ name = "a b" }]', "tools[0].name: "),
    ('tools = [{ name = "a" }, { description = "b" }]', "tools[1].name: Field required"),
    ('tools = [{ name = "a", type = "mcp" }]', "tools[0].type: "),
    ('tools = [{ name = "a", parameters = { d = 2020-01-01 } }]', "tools[0].parameters.d: "),
    ('tools = [{ name = "a" }, { name = "a" }]', "two tools have the name 'a'"),
    ('server_tools.a.url = "https://h"\ntools = [{ name = "a" }]', "two tools have the name 'a'"),
    ("server_tools.a = {}", "server_tools.a: wants either url or entry_point"),
    ('server_tools.a = { url = "https://h", entry_point = "m:f" }', "server_tools.a: wants either"),
    ('server_tools.a.url = "ftp://h"', "server_tools.a.url: must be an address"),
    ('server_tools.a.url = "https://u:hush@h"', "server_tools.a.url: must hold no password"),
    ('server_tools.a.entry_point = "os.system"', "server_tools.a.entry_point: "),
    (
        'server_tools.a = { entry_point = "m:f", secret_env = "K" }',
        "server_tools.a: secret_env and",
    ),
    ('server_tools.a = { url = "https://h", secret_env = "a-b" }', "server_tools.a.secret_env: "),
    ('server_tools.a = { url = "https://h", header = "a\\nb" }', "server_tools.a.header: "),
    ('server_tools.a = { url = "https://h", timeout_s = 0 }', "server_tools.a.timeout_s: "),
    ('server_tools.a = { url = "https://h", max_bytes = 0 }', "server_tools.a.max_bytes: "),
    ('server_tools."a b".url = "https://h"', "server_tools.a b.[key]: "),
    ('output_modalities = ["audio", "text"]', "output_modalities: "),
    ('output_modalities = ["smell"]', "output_modalities[0]: "),
    ('open = ["voice"]', "open names 'voice', which this agent does not set"),
    ('open = ["limits"]', "open: 'limits' is not one of "),
    ('locked = ["modell"]', "locked: 'modell' is not one of "),
    ('voice = "ash"\nopen = ["voice"]\nlocked = ["voice"]', "'voice' is both open and locked"),
    ('hidden = ["everything"]', "hidden: 'everything' is not one of "),
    ('roles = ["boss"]', "roles[0]: should be 'learner', 'coach' or 'admin'"),
    ("roles = []", "roles: "),
    ("subs = []", "subs: "),
    ('subs = [""]', "subs[0]: "),
    ('greeting = ["hi"]', "greeting: should be a valid string"),
    ('system_items = "refuse"', "system_items: should be 'drop' or 'answer'"),
    ('store_text = "no"', "store_text: should be a valid boolean"),
    ("pace_ms = 5", "pace_ms: "),
    ('pace_ms = "200"', "pace_ms: should be a valid integer"),
    ("limits.session_seconds = 0", "limits.session_seconds: "),
    ("limits.max_output_tokens = 1.5", "limits.max_output_tokens: "),
    ("limits.idle_second = 5", "limits.idle_second: is not known here; did you mean idle_seconds?"),
    ("limits = 5", "limits: "),
]


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_a_mistake_is_reported_in_one_line(text, problem):
    with pytest.raises(InvalidAgent) as bad:
        read(text)
    (said,) = bad.value.problems
    assert said.startswith(problem)
    assert "\n" not in said


def test_all_mistakes_are_reported_at_once():
    with pytest.raises(InvalidAgent) as bad:
        read('voice = 5\nmodell = "x"')
    assert len(bad.value.problems) == 2


def test_no_report_of_a_mistake_quotes_the_value():
    with pytest.raises(InvalidAgent) as bad:
        read('instructions = ["hush"]\nserver_tools.a = { url = "https://u:hush@h" }')
    assert "hush" not in str(bad.value)


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


async def test_the_agents_of_a_file_are_found_by_id(write):
    path = write('[agents.tutor]\nvoice = "sage"\n[agents."5b6f8f5e-a9e7"]\nroles = ["coach"]\n')
    agents = load_agents(path)
    assert set(agents.all) == {"tutor", "5b6f8f5e-a9e7"}
    tutor = await agents.find("tutor")
    assert tutor is not None
    assert (tutor.offer.agent_id, tutor.offer.voice) == ("tutor", "sage")
    assert await agents.find("Tutor") is None


def test_a_byte_order_mark_is_accepted(write):
    assert set(load_agents(write("\ufeff[agents.a]\n")).all) == {"a"}


def test_a_mistake_is_reported_with_file_agent_and_key(write):
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
        ("[agents.tutor\n", "is not TOML: "),
        (b"[agents.\xff]\n", "is not UTF-8"),
        ('[agents.a]\nvoice = "x"\nvoice = "y"\n', "is not TOML: "),
    ],
)
def test_a_file_that_is_invalid_as_a_whole_is_reported(write, text, problem):
    path = write(text)
    (said,) = problems_of(path)
    assert said.startswith(f"{path}: {problem}")
    assert "\n" not in said


def test_an_unreadable_file_is_reported(tmp_path):
    path = tmp_path / "none.toml"
    assert problems_of(path) == (f"RELAY_AGENTS={path} cannot be read: No such file or directory",)
    assert problems_of(tmp_path) == (f"RELAY_AGENTS={tmp_path} cannot be read: Is a directory",)


def test_a_file_over_the_size_limit_is_not_read(write, monkeypatch):
    monkeypatch.setattr(agent_file, "MAX_FILE", 10)
    path = write("[agents.tutor]\n")
    assert problems_of(path) == (f"{path}: is larger than 10 bytes",)


# ------------------------------------------------------------------------------ what the docs say

DOCS = (Path(__file__).parents[2] / "docs" / "agents.md").read_text("utf-8")


def test_the_example_in_the_docs_is_valid(write):
    (example, _) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    agents = load_agents(write(example)).all
    assert set(agents) == {"tutor", "rehearsal"}
    tutor = agents["tutor"].offer
    assert tutor.locked_fields >= {"voice", "instructions", "tools", "tool_choice"}
    assert [tool.secret_env for tool in tutor.server_tools] == ["SCHOOL_KEY"]
    assert agents["rehearsal"].offer.locked_fields == {"model"}


def test_every_key_is_in_the_docs():
    for table, prefix in ((AgentConfig, ""), (AgentLimits, "limits."), (ServerToolConfig, "")):
        for name in table.model_fields:
            known = f"`{prefix}{name}`" in DOCS or f"`{name}.NAME`" in DOCS or name == "limits"
            assert known, name
    for name in LOCKABLE | HIDEABLE:
        assert f"`{name}`" in DOCS or f"`limits.{name}`" in DOCS, name

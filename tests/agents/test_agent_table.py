"""How an agent is written: what everything means, and how a mistake is named."""

import json
import tomllib

import pytest

from relay.agents.config import InvalidAgent, read_agent
from relay.realtime.client_policy import LOCKABLE
from relay.realtime.grant import HIDDEN, Bounds, Grant, ServerTool
from relay.realtime.opening import openai_session_update

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


def test_everything_that_is_written_is_offered():
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
        open=frozenset({"voice"}),
        locks=frozenset({"turn_detection", "speed"}),
        hidden=frozenset({"instructions", "server_tools", "voice"}),
        bounds=Bounds(
            session_seconds=900,
            idle_seconds=60.5,
            max_output_tokens=2000,
            pace_ms=200,
        ),
        store_text=False,
    )


def test_an_agent_that_sets_nothing_locks_nothing():
    offer = read("").offer
    assert offer == Grant(caller=offer.caller, agent_id="tutor")
    assert offer.locked == {"model"}
    assert offer.hidden == HIDDEN


def test_what_is_set_is_locked_unless_it_is_open():
    assert read('voice = "sage"\ninstructions = "x"\nopen = ["voice"]').offer.locked == {
        "instructions",
        "model",
        "prompt",
        "tracing",
    }


def test_everything_lockable_can_be_locked():
    assert read(f"locked = {json.dumps(sorted(LOCKABLE))}").offer.locked == LOCKABLE | {"model"}


def test_no_tools_at_all_is_not_the_same_as_none_set():
    assert read("tools = []").offer.tools == ()
    assert read("").offer.tools is None


def test_nothing_at_all_may_be_hidden():
    assert read("hidden = []").offer.hidden == frozenset()


def test_what_is_read_goes_up_as_json():
    update = openai_session_update(read(WHOLE).offer, {"model": "w"})
    assert json.loads(json.dumps(update)) == update


def test_a_row_of_a_database_is_read_in_the_same_way():
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
    ('open = ["limits"]', "open: 'limits' is none of "),
    ('locked = ["modell"]', "locked: 'modell' is none of "),
    ('voice = "ash"\nopen = ["voice"]\nlocked = ["voice"]', "'voice' is both open and locked"),
    ('hidden = ["everything"]', "hidden: 'everything' is none of "),
    ('roles = ["boss"]', "roles[0]: should be 'learner', 'coach' or 'admin'"),
    ("roles = []", "roles: "),
    ("subs = []", "subs: "),
    ('subs = [""]', "subs[0]: "),
    ('greeting = ["hi"]', "greeting: should be a valid string"),
    ('store_text = "no"', "store_text: should be a valid boolean"),
    ("pace_ms = 5", "pace_ms: "),
    ('pace_ms = "200"', "pace_ms: should be a valid integer"),
    ("limits.session_seconds = 0", "limits.session_seconds: "),
    ("limits.max_output_tokens = 1.5", "limits.max_output_tokens: "),
    ("limits.idle_second = 5", "limits.idle_second: is not known here; did you mean idle_seconds?"),
    ("limits = 5", "limits: "),
]


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_a_mistake_is_named_in_one_line(text, problem):
    with pytest.raises(InvalidAgent) as bad:
        read(text)
    (said,) = bad.value.problems
    assert said.startswith(problem)
    assert "\n" not in said


def test_all_mistakes_are_named_at_once():
    with pytest.raises(InvalidAgent) as bad:
        read('voice = 5\nmodell = "x"')
    assert len(bad.value.problems) == 2


def test_no_mistake_repeats_what_was_written():
    with pytest.raises(InvalidAgent) as bad:
        read('instructions = ["hush"]\nserver_tools.a = { url = "https://u:hush@h" }')
    assert "hush" not in str(bad.value)

"""Scripts for the simulator."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import FunctionCall, McpCall, Reply, SpokenMessage
from relay.simulator.faults import Condition, ResponseFailed, TranscriptionLate
from relay.simulator.faults.plan import MODES
from relay.simulator.script import MAX_BYTES, BadScript, Scenario, load, locate_error, parse

GOOD = """
seed = 7
heard = ["What is the weather in London?", "Thank you."]

[pace]
burst = 12
delay_seconds = 0.35

[[reply]]
outputs = [
  { say = "Let me look.", phase = "commentary" },
  { call = "get_weather", arguments = { city = "London" } },
]

[[reply]]
weave = "in_turn"
outputs = [
  { call = "search", server = "docs", arguments = "{}", gives = "Found." },
  { call = "find", server = "docs", error = "Not found." },
]

[[reply]]
say = "It is {heard}."

[[aside]]
say = "A summary."

[mcp]
docs = [{ name = "search", description = "Looks things up." }]

[[fault]]
mode = "transcription_late"
seconds = 2.5
only = { turn = 2, probability = 0.5 }

[[fault]]
mode = "response_failed"
only = { response = [3, 4] }
"""


def test_everything_a_script_may_say():
    scenario = parse(GOOD)

    assert scenario.pace == Pace(burst=12, delay_seconds=0.35)
    assert scenario.faults.seed == 7
    assert scenario.faults.faults == (
        TranscriptionLate(seconds=2.5, only=Condition(turn=2, probability=0.5)),
        ResponseFailed(only=Condition(response=[3, 4])),
    )
    script = scenario.script
    assert script is not None
    assert script.heard == ["What is the weather in London?", "Thank you."]
    assert script.replies == [
        Reply(
            (
                SpokenMessage("Let me look.", "commentary"),
                FunctionCall("get_weather", {"city": "London"}),
            )
        ),
        Reply(
            (
                McpCall("docs", "search", "{}", "Found."),
                McpCall("docs", "find", "{}", "", "Not found."),
            ),
            "in_turn",
        ),
        Reply((SpokenMessage("It is {heard}."),)),
    ]
    assert script.asides == [Reply((SpokenMessage("A summary."),))]
    assert script.servers == {
        "docs": [
            {
                "name": "search",
                "description": "Looks things up.",
                "input_schema": {"type": "object"},
            }
        ]
    }


def test_an_empty_script_changes_nothing():
    assert parse("") == Scenario()


def test_whatever_is_not_scripted_has_its_default():
    only_replies = parse('[[reply]]\nsay = "Yes."').script
    only_heard = parse('heard = ["No."]').script

    assert only_replies is not None
    assert only_replies.heard == ("Hello there.",)
    assert only_heard is not None
    assert only_heard.replies == ("You said: {heard}",)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("x = ", "Invalid value"),
        ("[[fault]]\nmode = 3", "line 2: fault.1.mode: Expected `str`"),
        (
            '[[fault]]\nmode = "sesion_cut"',
            "line 2: fault.1.mode: unknown fault 'sesion_cut'; did you mean 'session_cut'?",
        ),
        (
            '[[fault]]\nmode = "x"',
            "line 2: fault.1.mode: unknown fault 'x'; docs/simulator.md lists all",
        ),
        ("[[fault]]\nseconds = 1", "line 1: fault.1: Object missing required field `mode`"),
        (
            '[[fault]]\nmode = "errors"\nsecnds = 1',
            "line 3: fault.1: Object contains unknown field `secnds`",
        ),
        (
            '[[fault]]\nmode = "session_cut"\nafter_events = 0',
            "line 3: fault.1.after_events: Expected `int` >= 1",
        ),
        (
            '[[fault]]\nmode = "session_cut"',
            "line 1: fault.1: Object missing required field `after_events`",
        ),
        (
            '[[fault]]\nmode = "handshake"\nstatus = 200',
            "line 3: fault.1.status: Invalid enum value 200",
        ),
        (
            '[[fault]]\nmode = "errors"\nonly = { probability = 2 }',
            "line 3: fault.1.only.probability: Expected `float` <= 1.0",
        ),
        (
            '[[fault]]\nmode = "handshake"\nstatus = 401\nonly = { turn = 2 }',
            "line 4: fault.1.only: only.turn: a fault of a session can be limited by session",
        ),
        ("[pace]\nburst = 0", "line 2: pace.burst: Expected `float` > 0.0"),
        ("heard = []", "line 1: heard: Expected `array` of length >= 1"),
        ("[[reply]]\n", "line 1: reply.1: either `say` or `outputs` must be there"),
        (
            '[[reply]]\nsay = "x"\noutputs = [{ say = "y" }]',
            "line 1: reply.1: either `say` or `outputs` must be there",
        ),
        (
            '[[aside]]\nsay = "x"\n[[aside]]\noutputs = [{ phase = "x" }]',
            "line 4: aside.2.outputs: each has either `say` or `call`",
        ),
        ('[[reply]]\nsay = "x"\nweave = "z"', "line 3: reply.1.weave: Invalid enum value 'z'"),
        ("surprise = 1", "line 1: Object contains unknown field `surprise`"),
    ],
)
def test_a_bad_script_is_one_line_with_its_place(script: str, complaint: str, tmp_path: Path):
    path = tmp_path / "bad.toml"
    path.write_text(script)

    with pytest.raises(BadScript) as bad:
        load(path)

    told = str(bad.value)
    assert told.startswith("bad.toml")
    assert complaint in told
    assert "\n" not in told


def test_a_good_script_from_a_file(tmp_path: Path):
    path = tmp_path / "good.toml"
    path.write_text(GOOD)

    assert load(path) == parse(GOOD)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"\xff", "not UTF-8"), (b"#" * (MAX_BYTES + 1), f"longer than {MAX_BYTES} bytes")],
)
def test_files_that_are_no_scripts(content: bytes, complaint: str, tmp_path: Path):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)

    with pytest.raises(BadScript, match=complaint):
        load(path)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.toml")


# -------------------------------------------------------------------------- the place of an error

LINES = """\
seed = 1

[pace]
burst = 12.0

[[fault]]
mode = "errors"
only = { response = 1,
         turn = 2 }

[[fault]]
mode = "session_cut"

[fault.only]
session = 3

[[fault]]
mode = "errors"
every = 9
"""


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("No - at `$.seed`", ", line 1: seed: No"),
        ("No - at `$.pace.burst`", ", line 4: pace.burst: No"),
        ("No - at `$.pace.speed`", ", line 3: pace.speed: No"),
        ("No - at `$.fault[0]`", ", line 6: fault.1: No"),
        ("No - at `$.fault[0].mode`", ", line 7: fault.1.mode: No"),
        ("No - at `$.fault[0].only.turn`", ", line 9: fault.1.only.turn: No"),
        ("No - at `$.fault[1].only.session`", ", line 15: fault.2.only.session: No"),
        ("No - at `$.fault[2].every`", ", line 19: fault.3.every: No"),
        ("No - at `$.fault[2].seconds`", ", line 17: fault.3.seconds: No"),
        (
            "Object contains unknown field `every` - at `$.fault[2]`",
            ", line 19: fault.3: Object contains unknown field `every`",
        ),
        ("No - at `$.nowhere[7].at`", ": nowhere.8.at: No"),
        ("No", ": No"),
    ],
)
def test_the_line_of_an_error(message: str, place: str):
    assert locate_error(LINES, message) == place


def test_faults_may_stand_in_a_list():
    script = 'fault = [\n  { mode = "x" },\n]\n'

    assert locate_error(script, "No - at `$.fault[0].mode`") == ", line 2: fault.1.mode: No"


# ------------------------------------------------------------------------------------- the guide

GUIDE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
ROWS = {
    row.split("`")[1]: row for row in GUIDE.splitlines() if re.match(r"\| `[a-z_]+` \| \w+ \|", row)
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_guide_can_be_copied(example: str):
    assert parse(example) != Scenario()


def test_the_guide_has_an_example_of_each_half():
    assert len(EXAMPLES) == 3
    faults, talk, http = map(parse, EXAMPLES)
    assert faults.faults.modes == ("handshake", "transcription_late", "response_cut")
    assert faults.pace is not None
    assert talk.script is not None
    assert len(talk.script.replies) == 3
    assert http.faults.modes == ("http_late", "http_failed")


@pytest.mark.parametrize("mode", MODES)
def test_every_fault_is_in_the_guide_with_its_keys_and_defaults(mode: str):
    shape: Any = MODES[mode]
    row = ROWS[mode]

    assert f"| {shape.unit} |" in row
    for field in msgspec.structs.fields(shape):
        if field.name == "only":
            continue
        assert f"`{field.name}`" in row
        if field.default not in (None, msgspec.NODEFAULT) and field.name != "message":
            shown = json.dumps(field.default).removesuffix(".0")
            assert f"`{field.name}` ({shown}" in row


def test_the_guide_knows_no_fault_that_is_not_there():
    assert ROWS.keys() == MODES.keys()

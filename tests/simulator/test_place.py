"""Where a script is wrong."""

import pytest

from relay.simulator.script import complaint

SCRIPT = """\
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
def test_the_line_of_a_complaint(message: str, place: str):
    assert complaint(SCRIPT, message) == place


def test_faults_may_stand_in_a_list():
    script = 'fault = [\n  { mode = "x" },\n]\n'

    assert complaint(script, "No - at `$.fault[0].mode`") == ", line 2: fault.1.mode: No"

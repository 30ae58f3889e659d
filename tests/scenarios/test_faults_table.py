"""Every fault of a session is carried out before a relay by some test beside this."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from relay.simulator.faults.http import HttpFault
from relay.simulator.faults.plan import MODES

OF_SESSIONS = [mode for mode in MODES if MODES[mode] not in get_args(HttpFault)]
BESIDE = sorted(Path(__file__).parent.glob("test_faults_*.py"))


def made_in(path: Path) -> set[str]:
    """The names that the tests of a file, or their tables, call or are parametrized with."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = [node.func, *(e for arg in node.args for e in getattr(arg, "elts", []))]
            names |= {one.id for one in called if isinstance(one, ast.Name)}
    return names


@pytest.mark.parametrize("mode", OF_SESSIONS)
def test_a_relay_meets_this_fault(mode: str) -> None:
    where = [path.name for path in BESIDE if MODES[mode].__name__ in made_in(path)]
    assert where, f"no tests/scenarios/test_faults_*.py makes a {MODES[mode].__name__}"


def test_a_fault_that_no_test_makes_would_be_missed() -> None:
    assert not any("NoSuchFault" in made_in(path) for path in BESIDE)
    assert any("SlowReader" in made_in(path) for path in BESIDE)

"""Every promise of the old voice relay that is kept by now has tests that name it.

`pytest -k S3_27` runs those of row S3-27. A row's number stands in the name or the docstring of a
test function, as `S3_27` or `S3-27`.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NUMBER = re.compile(r"S3[_-](\d+)(?!\d)")
KEPT = (
    *range(1, 53),
    *(57, 59, 60, 61, 63, 64, 75, 76, 80, 81, 82, 83, 84, 88, 91, 92),
)
"""Rows S3-1 to S3-92 that hold now; one that is kept later is added here with its test."""
COACHED = ("S0_6", "S0_7", "S0_9", "S0_13", "S0_23", "S0_24")
"""Rows of the hybrid coaching's API that hold for the coach's side; its own door comes later."""


def functions(path: Path) -> list[tuple[str, str]]:
    """Name and docstring of every test function in a file."""
    return [
        (node.name, ast.get_docstring(node) or "")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


def by_row() -> dict[int, list[str]]:
    """The tests that name each row, as `file::function`."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, text in functions(path):
            for number in {int(number) for number in NUMBER.findall(f"{name} {text}")}:
                found[number].append(f"{path.relative_to(TESTS)}::{name}")
    return found


PROOFS = by_row()


@pytest.mark.parametrize("row", KEPT, ids=lambda row: f"S3-{row}")
def test_the_row_has_a_test_that_names_it(row: int) -> None:
    assert PROOFS[row]


@pytest.mark.parametrize("row", COACHED)
def test_the_row_of_the_coach_has_a_test_that_names_it(row: str) -> None:
    named = (name for path in TESTS.rglob("test_*.py") for name, _ in functions(path))
    assert any(f"{row}_" in name for name in named)


def test_no_test_names_a_row_that_does_not_exist() -> None:
    assert {row for row in PROOFS if not 1 <= row <= 92} == set()


def test_the_rows_of_a_whole_call_are_proved_by_a_whole_call() -> None:
    """What a caller, a provider or an operator can see is shown from outside, not by its parts."""
    outside = ("scenarios/", "edge/", "web/", "commands/", "supabase/", "chaos/")
    inside = {row for row in KEPT if not any(test.startswith(outside) for test in PROOFS[row])}
    assert inside == set()

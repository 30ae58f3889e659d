"""A relayed frame of audio costs no more instructions than it did."""

import platform
import sys

import pytest

from tests.benchmarks.instructions import BOUNDS, Count, Direction, costs, count
from tests.components import needs

BOUNDED = ("cpython", (3, 11), "x86_64")
HERE = (sys.implementation.name, sys.version_info[:2], platform.machine())

DUMP = """\
# callgrind format
version: 1
pid: 4711
events: Ir
summary: 1190

ob=(1) /usr/lib/libpython3.11.so
fl=(1) ceval.c
fn=(1) evaluate
10 100
+2 30
cob=(2) /usr/lib/libc.so.6
cfi=(2) malloc.c
cfn=(2) _int_malloc
calls=3 500
* 900
fe=(3) object.h
-1 60

ob=(2)
fl=(2)
fn=(2)
500 900
cfn=(3) unlink_chunk.constprop.0
calls=1 20
501 100

fn=(3)
20 100

totals: 1190
"""


@pytest.fixture(scope="module")
def counts() -> dict[Direction, Count]:
    return {one.direction: one for one in count()}


@pytest.mark.slow
@needs("valgrind")
@pytest.mark.skipif(
    HERE != BOUNDED,
    reason="the bounds are of CPython 3.11 on x86-64: another interpreter has other instructions",
)
@pytest.mark.parametrize("direction", BOUNDS)
def test_a_frame_costs_no_more_instructions_than_it_did(
    counts: dict[Direction, Count], direction: Direction
) -> None:
    """Far less than the bound is wrong too: it was not all counted, or the bound is out of date."""
    counted = counts[direction]

    assert counted.spread < 0.02  # what other work of the relay's falls into one window
    assert 0.5 * BOUNDS[direction] < counted.per_frame <= BOUNDS[direction]


def test_a_dump_gives_what_each_function_executed_itself() -> None:
    assert costs(DUMP.splitlines(keepends=True)) == {
        ("libpython3.11.so", "evaluate"): 190,
        ("libc.so.6", "_int_malloc"): 900,
        ("libc.so.6", "unlink_chunk.constprop.0"): 100,
    }


def test_how_the_heap_lies_is_not_part_of_the_count() -> None:
    counted = Count("client to engine", (costs(DUMP.splitlines(keepends=True)),))

    assert counted.windows == [190]
    assert counted.per_frame == pytest.approx(0.19)
    assert counted.heap == pytest.approx(1.0)

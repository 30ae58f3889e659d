"""Clocks that agree with the project's, and clocks beyond the leeway of tokens."""

import time
from collections.abc import Callable

import pytest

from relay.check.supabase import check_clock
from tests.check.projects import client_of
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


def wrong_by(seconds: float) -> Callable[[], float]:
    return lambda: time.time() + seconds


@pytest.mark.parametrize("seconds", [-5, 0, 5])
async def test_a_few_seconds_are_within_the_leeway(project: Project, seconds: float) -> None:
    found = await check_clock(wrong_by(seconds), await client_of(project))

    assert (found.state, found.what) == ("ok", "this machine and the project agree on the time")


@pytest.mark.parametrize(("seconds", "way"), [(-90, "s behind the"), (3600, "s ahead of the")])
async def test_a_wrong_clock_fails(project: Project, seconds: float, way: str) -> None:
    found = await check_clock(wrong_by(seconds), await client_of(project))

    assert found.state == "fail"
    assert way in found.what
    assert "timedatectl set-ntp true" in found.hint

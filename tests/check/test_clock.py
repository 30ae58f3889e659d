"""A machine whose clock is right, and such as are late or early by more than tokens allow."""

import time
from collections.abc import Callable

import pytest

from relay.check.supabase import clock
from tests.check.projects import asked
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


def wrong_by(seconds: float) -> Callable[[], float]:
    return lambda: time.time() + seconds


@pytest.mark.parametrize("seconds", [-5, 0, 5])
async def test_a_few_seconds_are_no_matter(project: Project, seconds: float) -> None:
    found = await clock(wrong_by(seconds), await asked(project))

    assert (found.state, found.what) == ("ok", "this machine and the project agree on the time")


@pytest.mark.parametrize(("seconds", "way"), [(-90, "s behind the"), (3600, "s ahead of the")])
async def test_a_wrong_clock_is_told(project: Project, seconds: float, way: str) -> None:
    found = await clock(wrong_by(seconds), await asked(project))

    assert found.state == "fail"
    assert way in found.what
    assert "timedatectl set-ntp true" in found.mend

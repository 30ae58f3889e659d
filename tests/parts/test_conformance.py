"""Every part does what its engine relies on (tests/parts/conformance.py)."""

from collections.abc import Awaitable, Callable

import pytest

from tests.parts.conformance import CHECKS, Subject, conform
from tests.parts.subjects import SUBJECTS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_part(subject: str, check: Callable[[Subject], Awaitable[None]]) -> None:
    async with SUBJECTS[subject]() as opened:
        await conform(check, opened)

"""What these tests may take, and where their figures go."""

import faulthandler
from collections.abc import Callable, Iterator

import pytest

LONGEST = 900.0
"""Seconds until one of them counts as hung; each has a bound of its own below that."""


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Minutes, where other tests have to be done."""
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Print figures where a person sees them, whatever the outcome."""

    def show(*lines: str) -> None:
        with capfd.disabled():
            print("", *lines, sep="\n  ", flush=True)  # noqa: T201 - what the tests are for

    return show

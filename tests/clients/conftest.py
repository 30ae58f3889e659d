"""One relay and one provider for all clients that have both as programs."""

from collections.abc import Iterator

import pytest

from tests.clients.programs import Programs, programs


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """`relay serve` before `relay simulate`; every test is a user of its own."""
    with programs(tmp_path_factory.mktemp("served")) as both:
        yield both

"""Only the doors that the settings name are open, and loaded."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from relay.app import running
from relay.open_doors import Doors, DoorServices
from tests.scenarios.stage import loaded


def test_a_relay_without_them_loads_nothing_of_the_older_doors() -> None:
    script = (
        "import relay.cli.main, relay.app, sys;"
        "print(*(name for name in sys.modules if name.startswith('relay.doors.')),"
        " *(name for name in ('socketio', 'soundfile', 'livekit', 'numpy', 'pynvml')"
        " if name in sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    assert sorted(loaded) == [
        "relay.doors.browser",
        "relay.doors.closed",
        "relay.doors.openai",
    ]


@pytest.mark.parametrize(
    ("pages", "host", "named", "strangers"),
    [
        (True, "127.0.0.1", (), "local"),
        (True, "::1", ("sessions",), "local"),
        (True, "0.0.0.0", ("sessions",), "refused"),  # noqa: S104 - what must not be open
        (False, "0.0.0.0", ("sessions",), "admitted"),  # noqa: S104
        (False, "127.0.0.1", (), "refused"),
        (False, "127.0.0.1", ("services",), "refused"),
    ],
)
async def test_strangers_come_in_where_the_door_is_open_and_in_development_from_here(
    tmp_path: Path, pages: bool, host: str, named: tuple[str, ...], strangers: str
) -> None:
    given = loaded(tmp_path, relay_doors=("sessions", "services"), relay_open_doors=named)
    settings = given.settings.model_copy(update={"host": host})
    found: list[str] = []

    def make(here: DoorServices) -> Doors:
        odd = replace(here, loaded=replace(given, settings=settings, pages=pages))
        found.append(odd.access("sessions").strangers)
        return Doors()

    async with running(given, make_doors=make):
        pass

    assert found == [strangers]

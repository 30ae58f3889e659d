"""Recorded Realtime sessions, which lie beside the repository in a maintainer's checkout.

They are not part of it. A test that reads them is marked `needs_recordings`; where there are none
it is left out of the run, and the summary says so in one line. RECORDINGS names another folder.
This module is the pytest plugin that does so.
"""

import os
from pathlib import Path
from typing import Final

import pytest

RECORDINGS: Final = Path(
    os.environ.get("RECORDINGS") or Path(__file__).parents[2] / "shared" / "recordings"
)

needs_recordings = pytest.mark.needs_recordings

_LEFT_OUT: Final = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)  # so that only what would have run is counted
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if RECORDINGS.is_dir():
        return
    readers = [item for item in items if item.get_closest_marker("needs_recordings")]
    if readers:
        config.stash[_LEFT_OUT] = len(readers)
        config.hook.pytest_deselected(items=readers)
        items[:] = [item for item in items if not item.get_closest_marker("needs_recordings")]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests of recorded sessions left out: the recordings are not at {RECORDINGS}"
        )

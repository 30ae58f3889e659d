"""A checkout without the recordings runs everything else, and one line says what it leaves out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READERS = """
import pytest
from tests.recordings import RECORDINGS, needs_recordings

@needs_recordings
@pytest.mark.parametrize("name", ["turn", "tools"])
def test_a_recorded(name):
    assert (RECORDINGS / name).read_text()

@pytest.fixture(params=[pytest.param("tools", marks=needs_recordings)])
def recorded(request):
    return (RECORDINGS / request.param).read_text()

def test_what_the_client_sent(recorded):
    assert recorded

def test_without_any():
    pass
"""


@pytest.fixture
def readers(tmp_path: Path) -> Path:
    path = tmp_path / "test_readers.py"
    path.write_text(READERS)
    return path


def run(readers: Path, recordings: Path) -> subprocess.CompletedProcess[str]:
    """Run tests as CI would, where a skip that could be avoided is a failure."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "tests.recordings", readers.name],
        cwd=readers.parent,
        env={
            **os.environ,
            "CI": "true",
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "RECORDINGS": str(recordings),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_recordings_one_line_says_so_and_nothing_fails(readers: Path) -> None:
    absent = readers.parent / "absent"
    ran = run(readers, absent)

    assert ran.returncode == 0, ran.stdout
    (line,) = [line for line in ran.stdout.splitlines() if "recorded" in line]
    assert line == f"3 tests of recorded sessions left out: the recordings are not at {absent}"
    assert "1 passed, 3 deselected" in ran.stdout
    assert "skipped" not in ran.stdout.lower()


def test_where_they_are_none_is_left_out_and_a_missing_one_fails(readers: Path) -> None:
    (readers.parent / "turn").write_text("a turn")
    ran = run(readers, readers.parent)

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 2 passed, 1 error" in ran.stdout
    assert "left out" not in ran.stdout

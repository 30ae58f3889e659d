"""The way out of the wire library: whole calls run over another one as they do over picows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 600


@pytest.mark.slow
@pytest.mark.parametrize(
    "tests",
    [
        "tests/session",
        "tests/scenarios/test_endings.py",
        "tests/scenarios/test_rows.py",
        "tests/scenarios/test_rows_words.py",
        "tests/scenarios/test_faults_endings.py",
    ],
)
def test_the_tests_of_sessions_pass_over_the_other_library(tests: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--sansio", tests]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )

    assert ran.returncode == 0, ran.stdout[-4000:]
    assert " passed" in ran.stdout

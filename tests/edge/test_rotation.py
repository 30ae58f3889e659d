"""logrotate with the file that is shipped, on the relay's own logs (S3-62)."""

import gzip
import json
import logging
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.logs import configure
from tests.components import program

SHIPPED = Path(__file__).parents[2] / "systemd" / "relay.logrotate"
LOGROTATE = program("logrotate")()
pytestmark = pytest.mark.skipif(LOGROTATE is None, reason="apt-get install logrotate")
KEPT = 7
ROUNDS = KEPT + 3
EACH = 50  # lines between two rotations


@pytest.fixture
def rotation(tmp_path: Path) -> Path:
    """The shipped file for a folder of the test's own, and for whoever runs it."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    text = SHIPPED.read_text()
    assert text.count("/var/log/relay/") == text.count("su relay relay") == 1
    text = text.replace("/var/log/relay/", f"{tmp_path}/logs/")
    path = tmp_path / "relay.logrotate"
    path.write_text(text.replace("su relay relay", f"su {me} {os.getgid()}"))
    path.chmod(0o644)
    return path


def rotate(rotation: Path, *more: str) -> str:
    state = rotation.with_name("state")
    command = [str(LOGROTATE), "--state", str(state), *more, str(rotation)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return told.stderr


def test_S3_62_logrotate_understands_the_file_daily_and_seven_kept(rotation: Path) -> None:
    (rotation.parent / "logs").mkdir()
    (rotation.parent / "logs" / "combined.log").write_text("{}\n")
    told = rotate(rotation, "--debug")
    assert "after 1 days (7 rotations)" in told
    complaints = [line for line in told.splitlines() if line.startswith(("error:", "warning:"))]
    assert [line for line in complaints if "in debug mode" not in line] == []


def logged(number: int) -> None:
    """Log a line that differs from the one before by more than its values."""
    logging.getLogger(f"test.{number}").info("line %d", number)


def lines(folder: Path) -> Iterator[int]:
    """The numbers of every line in every file of the combined log, the oldest first."""
    old = sorted(folder.glob("combined.log.*"), key=lambda path: -int(path.name.split(".")[2]))
    for path in [*old, folder / "combined.log"]:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        yield from (int(json.loads(line)["message"].split()[1]) for line in text.splitlines())


def test_S3_62_no_line_is_lost_and_the_oldest_go(rotation: Path) -> None:
    folder = rotation.parent / "logs"
    logs = configure("info", folder, console=False)
    written = 0
    for _ in range(ROUNDS):
        for _ in range(EACH):
            logged(written)
            written += 1
        # Half of them may still be on their way to the disk: this is when lines get lost.
        rotate(rotation, "--force")
    logs.close()
    found = list(lines(folder))
    assert found == list(range(found[0], written)), "in order, none missing, none twice"
    assert len(found) >= KEPT * EACH // 2
    names = sorted(path.name for path in folder.glob("combined.log*"))
    assert names == [
        "combined.log",
        "combined.log.1",
        *(f"combined.log.{number}.gz" for number in range(2, KEPT + 1)),
    ]

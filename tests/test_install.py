"""`tests/install` says what it does to the machine before it does it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).with_name("install")
CLIENTS = "openai-agents", "livekit", "pipecat", "semantic-kernel"
ABSENT = "valgrind", "asterisk-core-sounds-en-g722"
PROGRAMS = "bash", "cat", "cmp", "dirname", "grep", "mkdir", "python3", "sleep", "tail"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout on a Debian without two of the packages, where nothing else is to be done."""
    for folder in ("tests/clients", "bin", *(f"build/clients/{name}" for name in CLIENTS)):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(INSTALL, tmp_path / "tests")
    for name in CLIENTS:
        (tmp_path / f"tests/clients/{name}.txt").touch()
        (tmp_path / f"build/clients/{name}/installed.txt").touch()
    for program in PROGRAMS:
        found = shutil.which(program)
        assert found
        (tmp_path / "bin" / program).symlink_to(found)
    pattern = "|".join(ABSENT)
    write(tmp_path / "bin/dpkg-query", f"case $4 in {pattern}) ;; *) echo installed ;; esac")
    write(tmp_path / "bin/apt-get", '[[ -e before ]] || cat shown >before; echo "$@" >>asked')
    return tmp_path


def write(program: Path, line: str) -> None:
    program.write_text(f"#!/bin/bash\n{line}\n")
    program.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has packages installed")
def test_root_is_told_which_packages_come_and_why_before_apt_get_runs(checkout: Path) -> None:
    with (checkout / "shown").open("w") as shown:
        subprocess.run(
            [checkout / "tests/install"],
            env={"PATH": str(checkout / "bin"), "PYENV_ROOT": str(checkout)},
            stdout=shown,
            timeout=60,
            check=True,
        )
    before = (checkout / "before").read_text()
    asked = [line.split()[-1] for line in (checkout / "asked").read_text().splitlines()[1:]]

    assert "as root" in before
    assert re.findall(r"^    (\S+): \w.*", before, re.MULTILINE) == asked == [*ABSENT]

"""Every command is tested in an empty folder and an environment that sets nothing."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.cli.main import main
from relay.config import Settings


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working folder, with nothing in it and nothing set."""
    for name in list(os.environ):
        if name.lower() in Settings.model_fields or name.startswith(("RELAY_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Ran:
    """The exit code of a command and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process: `run("token", "--sub", "ada")`."""

    def one(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return one

"""The command line as a whole: every command, its help, and wrong arguments."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from relay.cli import main as cli
from tests.cli.program import environment, one_line, relay

COMMANDS = list(cli.COMMANDS)


def test_the_promised_commands_are_there() -> None:
    promised = {
        *("dev", "serve", "talk", "token", "transcript", "replay", "simulate", "check"),
        *("livekit", "translate"),
        *("usage", "assign", "migrate", "retain", "export", "erase"),
    }

    assert set(COMMANDS) == promised


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    shown = " ".join(capsys.readouterr().out.split())

    assert ended.value.code == 0
    assert shown.startswith(f"usage: relay {name}")
    assert f"example: {cli.COMMANDS[name].example}" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_can_be_typed(name: str) -> None:
    words = shlex.split(cli.COMMANDS[name].example)
    command = words[words.index("relay") + 1 :]
    given = cli.parser().parse_args(command)

    assert given.command == name


def test_the_list_of_commands_says_what_each_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())

    assert ended.value.code == 0
    assert not [name for name in COMMANDS if f"{name} {cli.COMMANDS[name].help}" not in shown]


@pytest.mark.parametrize("words", [(), ("sing",), ("token",), ("talk",), ("dev", "--port", "x")])
def test_wrong_arguments_exit_with_2(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)

    assert ended.value.code == 2
    assert "usage: relay" in capsys.readouterr().err


def test_ctrl_c_ends_a_command_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "token", replace(cli.COMMANDS["token"], run=interrupted))
    with pytest.raises(SystemExit) as ended:
        cli.main(["token", "--sub", "ada"])

    assert ended.value.code == cli.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    """As in `relay token … | head -0`."""
    command = [sys.executable, "-m", "relay", "token", "--sub", "ada"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        said = program.stderr.read().decode()

    assert said == ""
    assert program.returncode == 1


def test_a_short_secret_is_not_reported_by_the_library(tmp_path: Path) -> None:
    ran = relay("token", "--sub", "ada", cwd=tmp_path, SUPABASE_JWT_SECRET="short")

    assert ran.returncode == 0
    assert ran.stderr == ""


def test_python_m_relay_is_the_same_program(tmp_path: Path) -> None:
    ran = relay("token", "--sub", "", cwd=tmp_path)

    assert ran.returncode == 2
    assert one_line(ran.stderr) == "--sub must not be empty"


def test_the_library_of_a_project_is_loaded_only_where_there_is_a_project() -> None:
    look = (
        "import sys, relay.cli.main\n"
        "print([name for name in ('supabase', 'httpx', 'psycopg') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert ran.stdout == "[]\n"

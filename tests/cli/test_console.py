"""Printing and failing, as all commands do it."""

import pytest

from relay.cli.console import fail, plain, say


def test_each_problem_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail("no engine", "no store", code=2)

    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "relay: no engine\nrelay: no store\n")


def test_say_prints_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")

    assert capsys.readouterr() == ("hello\n", "")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Grüße, 你好 ☎", "Grüße, 你好 ☎"),
        ("one\ntwo\r\n", "one two  "),
        ("\x1b]0;mine\x07\x1b[31mred", " ]0;mine  [31mred"),
        ("read \u202eme", "read  me"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_foreign_text_cannot_control_the_terminal(written: str, shown: str) -> None:
    assert plain(written) == shown

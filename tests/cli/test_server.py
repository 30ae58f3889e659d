"""What `relay dev` and `relay serve` share: why a start fails, and what a start prints."""

import errno
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.cli import server
from relay.cli.main import parser
from relay.stores.journal.file import JournalInUse


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.EADDRINUSE, "address in use"),
            "address in use; stop what runs there, or choose others with --port and --http-port",
        ),
        (
            PermissionError(errno.EACCES, "not allowed"),
            "not allowed; choose ports above 1023 with --port and --http-port",
        ),
        (
            socket.gaierror(socket.EAI_NONAME, "no such name"),
            "no such name; choose an address of this machine with --host",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/var/lib/relay"),
            "[Errno 13] Permission denied: '/var/lib/relay'",
        ),
        (JournalInUse("in use by process 7"), "in use by process 7"),
    ],
)
def test_why_it_does_not_start_is_told_with_what_to_do(error: Exception, told: str) -> None:
    assert server.why(error) == told


def test_the_addresses_that_were_given_are_settings() -> None:
    given = parser().parse_args(["dev", "--host", "::1", "--http-port", "0"])

    assert server.addresses(given) == {"host": "::1", "http_port": 0}


@pytest.mark.parametrize(
    ("engine", "note"),
    [
        ("openai", "openai"),
        ("offline", "offline (the demonstration voice; set OPENAI_API_KEY or OPENAI_BASE_URL"),
        ("echo", "echo (it says back what it hears; set OPENAI_API_KEY or OPENAI_BASE_URL"),
    ],
)
def test_a_voice_that_is_no_real_one_says_so(
    engine: str, note: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "page_token", lambda _: "a.b.c")
    app = SimpleNamespace(
        page_url="http://127.0.0.1:1/",
        voice_url="ws://127.0.0.1:2/v1/realtime",
        settings=None,
        engine=SimpleNamespace(name=engine),
    )
    server.show_dev(cast("Any", app))
    page, address, token, voice, *_ = capsys.readouterr().out.splitlines()

    assert page == "page    http://127.0.0.1:1/"
    assert address == "socket  ws://127.0.0.1:2/v1/realtime"
    assert token == "token   a.b.c"
    assert voice.startswith(f"voice   {note}")

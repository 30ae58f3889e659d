"""`relay serve` as a program, and what it shares with `relay dev`: limits and failed starts."""

import asyncio
import errno
import signal
import socket
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from websockets.asyncio.client import connect

from relay.auth.tokens import mint
from relay.cli import serve
from relay.cli.main import parser
from relay.realtime.grant import Caller
from relay.stores.journal.file import JournalInUse
from tests.cli.program import Program, one_line, relay
from tests.scenarios.stage import Line, loaded

SECRET = "a secret of production with more than thirty-two characters"
WHOLE = {
    "HOST": "127.0.0.1",
    "RELAY_STORE": "sqlite",
    "RELAY_ENGINE": "echo",
    "SUPABASE_JWT_SECRET": SECRET,
}


def test_S3_59_each_missing_setting_is_named(tmp_path: Path) -> None:
    ran = relay("serve", cwd=tmp_path)
    trust, store = ran.stderr.splitlines()

    assert (ran.returncode, ran.stdout) == (1, "")
    assert trust.endswith("SUPABASE_URL, SUPABASE_JWT_SECRET and SUPABASE_JWKS_URL")
    assert store.endswith("set both, or RELAY_STORE=sqlite to store transcripts here")
    assert "SUPABASE_SERVICE_ROLE_KEY" in store
    assert list(tmp_path.iterdir()) == [], "nothing was begun"


def test_a_setting_that_is_wrong_is_named_without_its_value(tmp_path: Path) -> None:
    ran = relay("serve", cwd=tmp_path, **WHOLE, OPENAI_API_KEY="sk two words", PORT="0")

    assert ran.returncode == 1
    assert one_line(ran.stderr).startswith("OPENAI_API_KEY: has a space")
    assert "two words" not in ran.stderr


def test_an_address_of_another_machine_is_one_line(tmp_path: Path) -> None:
    ran = relay("serve", "--host", "192.0.2.1", "--port", "0", cwd=tmp_path, **WHOLE)

    assert ran.returncode == 1
    assert one_line(ran.stderr).endswith("choose one of this machine with --host")


def test_a_name_that_is_no_address_is_one_line(tmp_path: Path) -> None:
    ran = relay("serve", "--host", "nobody.invalid", "--port", "0", cwd=tmp_path, **WHOLE)

    assert ran.returncode == 1
    assert one_line(ran.stderr).endswith("choose an address of this machine with --host")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that nobody may write is wanted")
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    ran = relay("serve", "--port", "0", cwd=tmp_path, **WHOLE, RELAY_DATA_DIR="/proc/relay")

    assert ran.returncode == 1
    told = one_line(ran.stderr)
    assert told.startswith("RELAY_DATA_DIR=/proc/relay cannot be used: ")


def test_a_relay_whose_folder_another_one_has_is_never_ready(tmp_path: Path) -> None:
    """Not for a moment: a caller whom it let in would lose every word."""
    with Program("serve", "--port", "0", cwd=tmp_path, **WHOLE) as first:
        first.logged("ready")
        second = relay("serve", "--port", "0", cwd=tmp_path, **WHOLE)

        assert second.returncode == 1
        assert "set another" not in one_line(second.stderr)
        assert "or give this one its own RELAY_DATA_DIR" in one_line(second.stderr)
        assert '"ready"' not in second.stderr
        assert first.stop(signal.SIGTERM) == 0
    with Program("serve", "--port", "0", cwd=tmp_path, **WHOLE) as third:
        third.logged("ready")
        assert third.stop(signal.SIGTERM) == 0


async def test_S3_63_it_serves_no_page_drains_and_ends_with_0(tmp_path: Path) -> None:
    settings = {**WHOLE, "DRAIN_TIMEOUT": "0.2"}
    with Program("serve", "--port", "0", cwd=tmp_path, **settings) as program:
        ready = await asyncio.to_thread(program.logged, "ready")
        async with aiohttp.ClientSession() as http:
            root = f"http://127.0.0.1:{ready['http_port']}"
            async with http.get(f"{root}/health") as answer:
                assert answer.status == 200
            for path in ("/", "/config.json"):
                async with http.get(root + path) as answer:
                    assert answer.status == 404
        caller = Caller("ada", "learner", 4e9)
        headers = {"Authorization": f"Bearer {mint(caller, SECRET, 1.0)}"}
        url = f"ws://127.0.0.1:{ready['port']}/v1/realtime"
        async with connect(url, additional_headers=headers) as line:
            await line.recv()
            ending = asyncio.create_task(asyncio.to_thread(program.stop, signal.SIGTERM))
            assert await Line(line).closed() == (1012, "Service restart")
        assert await ending == 0
        assert program.left() == []


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
            PermissionError(errno.EACCES, "Permission denied", "var/journal"),
            "RELAY_DATA_DIR=var cannot be used: Permission denied: var/journal;"
            " let the relay's user own it, or set another",
        ),
        (
            sqlite3.OperationalError("unable to open database file"),
            "RELAY_DATA_DIR=var cannot be used: unable to open database file;"
            " let the relay's user own it, or set another",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/of/no/setting"),
            "[Errno 13] Permission denied: '/of/no/setting'",
        ),
        (JournalInUse("in use by process 7"), "in use by process 7"),
    ],
)
def test_a_failed_start_is_reported_with_a_hint(error: Exception, told: str) -> None:
    assert serve.start_error(error, loaded(Path("var")).settings) == told


def test_the_addresses_that_were_given_are_settings() -> None:
    given = parser().parse_args(["dev", "--host", "::1", "--http-port", "0"])

    assert serve.address_settings(given) == {"host": "::1", "http_port": 0}


@pytest.mark.parametrize(
    ("engine", "asked", "note"),
    [
        ("openai", "openai", "openai"),
        ("offline", "offline", "offline (small models on this machine; set OPENAI_API_KEY or "),
        ("echo", "echo", "echo (it says back what it hears)"),
        ("echo", "offline", "echo (it says back what it hears; the voice comes with: "),
    ],
)
def test_a_voice_without_a_provider_is_announced_as_such(
    engine: str,
    asked: str,
    note: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve, "page_token", lambda _: "a.b.c")
    app = SimpleNamespace(
        page_address=lambda page="": f"http://127.0.0.1:1/{page}#code=c",
        voice_url="ws://127.0.0.1:2/v1/realtime",
        settings=SimpleNamespace(relay_engine=asked, relay_doors=("openai",)),
        engine=SimpleNamespace(name=engine),
    )
    serve.announce_dev(cast("Any", app))
    page, coach, address, token, voice, *_ = capsys.readouterr().out.splitlines()

    assert page == "page    http://127.0.0.1:1/#code=c"
    assert coach == "coach   http://127.0.0.1:1/coach#code=c"
    assert address == "socket  ws://127.0.0.1:2/v1/realtime"
    assert token == "token   a.b.c"
    assert voice.startswith(f"voice   {note}")

"""`relay dev`, as a newcomer starts and stops it."""

import json
import signal
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.cli.program import Program, one_line, port_of, relay
from tests.http.entry import entered

QUICKLY = 20.0
"""Seconds: it takes one; `relay serve` would let the call go on for half a minute and more."""


REFUSALS = 100


def dev(folder: Path, **settings: str) -> Program:
    """A relay on free ports with the echo, so that no voice has to be loaded; its log is full."""
    settings = {"RELAY_ENGINE": "echo", "LOG_LEVEL": "info", **settings}
    return Program("dev", "--port", "0", cwd=folder, **settings)


async def test_it_prints_a_page_a_socket_and_a_token_that_work(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        page, coach = program.line("page"), program.line("coach")
        socket, token = program.line("socket"), program.line("token")
        assert program.line("voice") == "echo (it says back what it hears)"
        async with entered(page) as (http, site):
            async with http.get(page) as answer:
                assert answer.status == 200
                assert "<title>relay</title>" in await answer.text()
            async with http.get(coach) as answer:
                assert answer.status == 200
            async with http.get(f"{site}config.json") as answer:
                config = await answer.json()
        assert config["url"] == socket
        assert config["engine"] == "echo"
        for bearer in (token, config["token"]):
            headers = {"Authorization": f"Bearer {bearer}"}
            async with connect(socket, additional_headers=headers) as line:
                assert json.loads(await line.recv())["type"] == "session.created"


async def test_its_log_is_quiet_unless_something_is_wrong(tmp_path: Path) -> None:
    with dev(tmp_path, LOG_LEVEL="") as program:
        socket, token = program.line("socket"), program.line("token")
        async with connect(socket, additional_headers={"Authorization": f"Bearer {token}"}) as line:
            await line.recv()
        assert program.stop() == 0

        assert program.stderr == ""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_quickly_with_a_call_open_and_leaves_nothing(
    tmp_path: Path, ending: signal.Signals
) -> None:
    with dev(tmp_path) as program:
        socket, token = program.line("socket"), program.line("token")
        async with connect(socket, additional_headers={"Authorization": f"Bearer {token}"}) as line:
            await line.recv()
            began = time.monotonic()
            code = program.stop(ending)

        assert code == 0
        assert time.monotonic() - began < QUICKLY
        assert program.left() == []
        levels = [json.loads(said)["level"] for said in program.stderr.splitlines()]
        assert levels, "sessions that end are logged"
        assert set(levels) == {"info"}


async def test_printed_tokens_and_codes_are_not_in_the_log(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        page, socket, token = (program.line(name) for name in ("page", "socket", "token"))
        async with entered(page) as (http, site), http.get(f"{site}config.json") as answer:
            assert answer.status == 200
        async with connect(f"{socket}?token={token}") as line:
            await line.recv()
        program.stop()

        assert "session ended" in program.stderr
        assert token not in program.stderr
        assert page.partition("#code=")[2] not in program.stderr


async def test_refusals_are_counted_in_the_log_and_calls_are_not(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        socket, token = program.line("socket"), program.line("token")
        for _ in range(REFUSALS):
            async with connect(f"{socket}?token=no.to.ken") as stranger:
                await stranger.wait_closed()
        for _ in range(3):
            async with connect(f"{socket}?token={token}") as line:
                await line.recv()
        program.stop()

        lines = [json.loads(said) for said in program.stderr.splitlines()]
    refused = [line for line in lines if line.get("ending") == "unauthorized"]
    counted = [line for line in lines if "ending=unauthorized" in line.get("kind", "")]
    assert len(refused) + sum(line["times"] for line in counted) == REFUSALS
    assert len(refused) + len(counted) <= REFUSALS / 10
    calls = [line for line in lines if line["message"] == "session ended" and line not in refused]
    assert len({line["session_id"] for line in calls}) == 3


def test_a_second_one_on_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        program.line("socket")
        second = relay("dev", "--port", "0", cwd=tmp_path, RELAY_ENGINE="echo")

        assert (second.returncode, second.stdout) == (1, "")
        told = one_line(second.stderr)
        assert told.startswith("the journal in var/journal is in use by process ")
        assert told.endswith("give this one its own RELAY_DATA_DIR")


@pytest.mark.parametrize(
    ("shown", "taken", "free"),
    [("socket", "--port", "--http-port"), ("page", "--http-port", "--port")],
)
def test_a_second_one_on_the_same_port_is_refused_in_one_line(
    tmp_path: Path, shown: str, taken: str, free: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with dev(tmp_path) as program:
        port = str(port_of(program.line(shown)))
        options = (taken, port, free, "0")
        second = relay("dev", *options, cwd=elsewhere, RELAY_ENGINE="echo")

        assert (second.returncode, second.stdout) == (1, "")
        told = one_line(second.stderr)
        assert port in told
        assert told.endswith("stop what runs there, or choose others with --port and --http-port")


def test_it_starts_again_in_the_folder_of_one_that_was_killed(tmp_path: Path) -> None:
    with dev(tmp_path) as first:
        first.line("socket")
        first.stop(signal.SIGKILL)
    with dev(tmp_path) as second:
        assert second.line("socket").startswith("ws://127.0.0.1:")
        assert second.stop() == 0

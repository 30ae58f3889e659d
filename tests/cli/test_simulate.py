"""`relay simulate`, as a program of its own."""

import json
import signal
import socket
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.cli.program import Program, one_line, port_of, relay, taken_port


async def greeting(url: str, key: str = "sk-any") -> str:
    """The type of the first event, or the code of the error that comes in its place."""
    async with connect(url, additional_headers={"Authorization": f"Bearer {key}"}) as line:
        event = json.loads(await line.recv())
    return str(event["error"]["code"] if event["type"] == "error" else event["type"])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_it_prints_its_address_answers_and_stops(
    tmp_path: Path, ending: signal.Signals
) -> None:
    with Program("simulate", "--port", "0", cwd=tmp_path) as simulator:
        url = simulator.line("OpenAI Realtime, offline:")
        base_url = simulator.line("A relay uses it with OPENAI_API_KEY=any OPENAI_BASE_URL=")
        assert await greeting(url) == "session.created"
        assert await greeting(url, key="bad") == "invalid_api_key"
        assert base_url == url.replace("ws", "http", 1).removesuffix("/realtime?model=any")

        assert simulator.stop(ending) == 0
        assert simulator.left() == []
        assert simulator.stderr == ""


def test_garbage_instead_of_http_leaves_no_traceback(tmp_path: Path) -> None:
    with Program("simulate", "--port", "0", cwd=tmp_path) as simulator:
        port = port_of(simulator.line("OpenAI Realtime, offline:"))
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
            assert caller.recv(1000).startswith((b"HTTP/1.1 400", b""))
        assert simulator.stop() == 0
        assert simulator.stderr == ""


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with taken_port() as other:
        port = str(other.getsockname()[1])
        ran = relay("simulate", "--port", port, cwd=tmp_path)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert one_line(ran.stderr).startswith(f"cannot listen on port {port}: ")


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_an_impossible_port_is_one_line(tmp_path: Path, port: str) -> None:
    ran = relay("simulate", f"--port={port}", cwd=tmp_path)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert one_line(ran.stderr).startswith(f"cannot listen on port {port}: ")


async def test_faults_come_from_a_file_and_are_named(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text(
        '[[reply]]\nsay = "Yes."\n'
        '[[fault]]\nmode = "in_band_refusal"\ncode = "invalid_model"\nonly = { session = 1 }\n'
        '[[fault]]\nmode = "key_order"\n'
    )
    with Program("simulate", "--port", "0", "--faults", str(script), cwd=tmp_path) as simulator:
        url = simulator.line("OpenAI Realtime, offline:")
        assert simulator.line("Faults on purpose:") == "in_band_refusal, key_order"
        assert await greeting(url) == "invalid_model"
        assert await greeting(url) == "session.created"
        assert simulator.stop() == 0
        assert simulator.stderr == ""


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("x =", "bad.toml: Invalid value (at end of document)"),
        (
            'seed = 1\n[[fault]]\nmode = "sesion_cut"\n',
            "bad.toml, line 3: fault.1.mode: unknown fault 'sesion_cut'; "
            "did you mean 'session_cut'?",
        ),
        (
            '[[fault]]\nmode = "large_item"\nbytes = "many"\n',
            "bad.toml, line 3: fault.1.bytes: Expected `int`, got `str`",
        ),
    ],
)
def test_a_bad_file_of_faults_is_one_line(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "bad.toml").write_text(content)

    ran = relay("simulate", "--faults", "bad.toml", cwd=tmp_path)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert one_line(ran.stderr) == complaint


def test_a_file_of_faults_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    ran = relay("simulate", "--faults", "none.toml", cwd=tmp_path)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert one_line(ran.stderr) == "none.toml cannot be read: No such file or directory"

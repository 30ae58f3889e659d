"""`relay dev --install-voice`: the relay runs at once, and pip brings the voice beside it.

pip is the real one, in an environment of its own that sees this one's packages; what it installs is
a small wheel that the test makes.
"""

import asyncio
import base64
import hashlib
import json
import shutil
import sys
import sysconfig
import venv
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from relay.cli.voice_install import BUNDLES, VoiceBundle
from tests.cli.program import START_SECONDS, Program, relay
from tests.http.entry import entered

ROOT = Path(__file__).parents[2]
LOCK = "requirements-run.lock"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with pip, whose packages are this one's and what is installed into it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    site = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (site / "this.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    return folder / "bin" / "python"


@pytest.fixture
def folder(tmp_path: Path, python: Path) -> Path:
    """A checkout as far as the installation sees it, whose environment has no voice yet."""
    environment = python.parents[1]
    for left in (*environment.glob("relay-voice.installed"), *environment.rglob("small_voice*")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    wheel = small_wheel(tmp_path)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / LOCK).write_text(f"small-voice==1.0 --hash=sha256:{digest}\n")
    return tmp_path


def small_wheel(folder: Path) -> Path:
    path = folder / "small_voice-1.0-py3-none-any.whl"
    info = "small_voice-1.0.dist-info"
    files = {
        "small_voice.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: small-voice\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
        f",{len(text)}\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(name, text)
    return path


def dev(python: Path, folder: Path, **settings: str) -> Program:
    """A relay on free ports; pip asks no registry, only this folder."""
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), **settings}
    command = ("dev", "--port", "0", "--install-voice", "small")
    return Program(*command, cwd=folder, python=str(python), **settings)


async def config(page: str) -> dict[str, Any]:
    async with entered(page) as (http, site), http.get(f"{site}config.json") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def phases(page: str) -> AsyncIterator[dict[str, Any]]:
    """The configuration of the page, until the voice is ready or given up."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            shown = await config(page)
            yield shown
            if shown["voice"]["phase"] in ("ready", "failed"):
                return
            await asyncio.sleep(0.05)


async def test_the_page_is_there_at_once_and_the_voice_comes(python: Path, folder: Path) -> None:
    with dev(python, folder) as program:
        page, socket, token = (program.line(name) for name in ("page", "socket", "token"))
        seen = [shown async for shown in phases(page)]
        assert seen[0]["engine"] == "echo", "it answers meanwhile"
        assert seen[0]["voice"]["of"] == BUNDLES["small"].download
        assert seen[-1]["voice"]["phase"] == "ready"
        assert seen[-1]["engine"] == "offline"
        assert program.line("voice   downloading").startswith(", once: 260 MB")
        assert program.line("voice   ready after").endswith("open the page and talk")
        async with connect(socket, additional_headers={"Authorization": f"Bearer {token}"}) as line:
            assert json.loads(await line.recv())["type"] == "session.created"
        assert program.stop() == 0
    assert (
        "Successfully installed small-voice-1.0" in (folder / "build/voice-install.log").read_text()
    )
    assert not (folder / "build/voice-download").exists()

    with dev(python, folder) as again:
        assert again.line("voice").startswith("offline")


async def test_a_failed_installation_is_one_line_and_the_next_start_goes_on(
    python: Path, folder: Path
) -> None:
    lock, wheel = folder / LOCK, folder / "small_voice-1.0-py3-none-any.whl"
    there = lock.read_text()
    lock.write_text(there.replace("sha256:", "sha256:" + "0" * 8)[:-9] + "\n")
    with dev(python, folder) as program:
        page, socket, token = (program.line(name) for name in ("page", "socket", "token"))
        told = program.line("voice   not installed: ")
        assert told.endswith(
            "(see build/voice-install.log); the echo answers, and the next start goes on here"
        )
        shown = await config(page)
        assert (shown["engine"], shown["voice"]["phase"]) == ("echo", "failed")
        async with connect(socket, additional_headers={"Authorization": f"Bearer {token}"}) as line:
            assert json.loads(await line.recv())["type"] == "session.created"
        assert program.stop() == 0
        assert program.stderr == ""
    assert wheel.exists()

    lock.write_text(there)
    with dev(python, folder) as program:
        program.line("voice   ready after")


async def test_ctrl_c_ends_pip_as_well(python: Path, folder: Path) -> None:
    """A registry that never answers: pip would wait for it for minutes."""
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with dev(
        python, folder, PIP_NO_INDEX="", PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple"
    ) as program:
        (folder / "small_voice-1.0-py3-none-any.whl").unlink()
        program.line("voice   downloading")
        assert program.stop() == 0
        assert program.left() == []
    silent.close()


def test_with_a_key_nothing_is_installed(python: Path, folder: Path) -> None:
    with dev(python, folder, OPENAI_API_KEY="sk-test") as program:
        assert program.line("voice") == "openai"
        assert program.stop() == 0
    assert not (folder / "build").exists()


def test_where_there_is_no_checkout_that_is_the_line(python: Path, folder: Path) -> None:
    (folder / LOCK).unlink()
    with dev(python, folder) as program:
        assert program.line("voice   not installed").startswith(f": there is no {LOCK} here;")


def test_an_unknown_bundle_is_a_mistake(tmp_path: Path) -> None:
    ran = relay("dev", "--install-voice", "huge", cwd=tmp_path)

    assert ran.returncode == 2
    assert "small" in ran.stderr


@pytest.mark.parametrize("bundle", BUNDLES.values(), ids=list(BUNDLES))
def test_the_locks_of_a_bundle_are_in_the_checkout(bundle: VoiceBundle) -> None:
    assert all((ROOT / lock).is_file() for lock in bundle.locks)

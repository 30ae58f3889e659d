"""`relay serve`: it starts with what it needs, and says what it lacks."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from relay.auth.tokens import mint
from relay.realtime.grant import Caller
from tests.cli.program import Program, one_line, relay
from tests.scenarios.stage import Line

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
    assert trust.endswith("set SUPABASE_URL, SUPABASE_JWT_SECRET or SUPABASE_JWKS_URL")
    assert store.endswith("set both, or RELAY_STORE=sqlite to keep words here")
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
    assert "/proc/relay" in one_line(ran.stderr)


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

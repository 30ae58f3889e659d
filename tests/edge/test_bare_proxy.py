"""`relay dev` behind a proxy that somebody set up in a minute: strangers get no token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from relay.app import App, running
from tests.components import needs
from tests.edge.front import command, free_ports, prepared
from tests.http.entry import entered
from tests.scenarios.stage import loaded

pytestmark = needs("nginx")

BARE = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        {more}
        proxy_pass http://127.0.0.1:{relay};
    }}
}}
"""
CONFIGS = ("config.json", "coach/config.json")


@asynccontextmanager
async def behind(app: App, more: str) -> AsyncIterator[str]:
    """nginx with one location before the HTTP listener; gives its address."""
    (port,) = free_ports(1)
    with prepared(app.listener.port, app.http.port) as front:
        text = BARE.format(port=port, more=more, relay=app.http.port)
        (front.folder / "relay.conf").write_text(text)
        program = command(front)
        nginx = await asyncio.create_subprocess_exec(
            *program.pop("args"), **program, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            yield await _answering(f"http://127.0.0.1:{port}/")
        finally:
            nginx.terminate()
            await nginx.wait()


async def _answering(site: str) -> str:
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{site}health"):
                    return site
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        # As nginx long did by itself, with the relay's own address as Host.
        ("proxy_http_version 1.0;", 404),
        ("proxy_set_header X-Real-IP $remote_addr;", 404),
        ("proxy_http_version 1.1; proxy_set_header Host $http_host;", 401),  # no sign at all
        ('proxy_http_version 1.1; proxy_set_header Connection "";', 401),
    ],
)
async def test_a_stranger_gets_no_token(tmp_path: Path, more: str, status: int) -> None:
    settings = replace(loaded(tmp_path, relay_engine="echo"), pages=True)
    async with running(settings) as app, behind(app, more) as site:
        async with aiohttp.ClientSession() as http:
            for config in CONFIGS:
                async with http.get(site + config) as answer:
                    assert (answer.status, await answer.text()) == (status, "")
            async with http.post(f"{site}code", json={"code": "guess"}) as answer:
                assert answer.status in (403, 404)
        # The owner, who opens the printed address, does.
        async with (
            entered(app.page_address("coach")) as (http, _),
            http.get(f"{app.page_url}coach/config.json") as answer,
        ):
            assert "token" in await answer.json()

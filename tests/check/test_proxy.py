"""The public address: behind the shipped nginx, behind another server, behind none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.check.proxy import check_proxied_health, check_proxied_voice
from tests.components import needs
from tests.edge.front import free_ports, in_front
from tests.scenarios.stage import stage


async def running() -> bool:
    return True


async def not_running() -> bool:
    return False


@needs("nginx")
async def test_the_shipped_proxy_leads_to_the_relay(tmp_path: Path) -> None:
    async with (
        stage(tmp_path) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        health = await check_proxied_health(front.url, running, front.trust)
        voice = await check_proxied_voice(f"{front.url}/", running, front.trust)

    assert (health.state, health.what) == ("ok", f"{front.url}/health is the relay's")
    assert voice.state == "ok"
    assert voice.what == f"{front.url.replace('https', 'wss')} leads to the relay's doors"


@needs("nginx")
async def test_a_proxy_without_its_relay() -> None:
    voice_port, http_port = free_ports(2)
    async with in_front(voice_port, http_port) as front:
        early = await check_proxied_health(front.url, not_running, front.trust)
        early_voice = await check_proxied_voice(front.url, not_running, front.trust)
        wrong = await check_proxied_health(front.url, running, front.trust)
        wrong_voice = await check_proxied_voice(front.url, running, front.trust)

    assert (early.state, early_voice.state) == ("skip", "skip")
    assert early.what == f"{front.url}/health answers HTTP 502, but no relay is running here yet"
    assert (wrong.state, wrong_voice.state) == ("fail", "fail")
    assert wrong.hint == "point the proxy at the relay's ports; nginx/relay.conf shows how"
    assert wrong_voice.hint == wrong.hint


@needs("nginx")
async def test_a_proxy_with_an_untrusted_certificate(tmp_path: Path) -> None:
    async with (
        stage(tmp_path) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        found = await check_proxied_health(front.url, running)

    assert found.state == "fail"
    assert "the certificate is not trusted" in found.what


@asynccontextmanager
async def other_site() -> AsyncIterator[str]:
    """A web server with a /health of its own and no WebSocket."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="fine")

    app = web.Application()
    app.router.add_get("/health", health)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield f"http://127.0.0.1:{server.port}"
    await server.close()


async def test_the_site_of_another_server() -> None:
    async with other_site() as url:
        health, voice = (
            await check_proxied_health(url, running),
            await check_proxied_voice(url, running),
        )

    assert health.what == f"{url}/health is not the relay's: HTTP 200"
    assert health.hint.startswith("route /health to the HTTP listener")
    assert voice.what.endswith("is not the relay's: HTTP 404 instead of an upgrade")
    assert voice.hint.startswith("route upgrades to the voice listener")


async def test_a_proxy_that_is_not_running() -> None:
    found = await check_proxied_health("http://127.0.0.1:8", not_running)

    assert found.what == "http://127.0.0.1:8/health is not the relay's: nobody listens there"
    assert found.hint == "is the proxy running, and is PUBLIC_URL its address?"

"""The relay's public address: behind the nginx that is shipped, behind others, and behind none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.check.proxy import proxied_health, proxied_voice
from tests.components import needs
from tests.edge.front import free_ports, in_front
from tests.scenarios.stage import stage


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@needs("nginx")
async def test_the_shipped_proxy_leads_to_the_relay(tmp_path: Path) -> None:
    async with (
        stage(tmp_path) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        health = await proxied_health(front.url, yes, front.trust)
        voice = await proxied_voice(f"{front.url}/", yes, front.trust)

    assert (health.state, health.what) == ("ok", f"{front.url}/health is the relay's")
    assert voice.state == "ok"
    assert voice.what == f"{front.url.replace('https', 'wss')} leads to the relay's doors"


@needs("nginx")
async def test_a_proxy_whose_relay_is_elsewhere_or_not_yet_there() -> None:
    voice_port, http_port = free_ports(2)
    async with in_front(voice_port, http_port) as front:
        early = await proxied_health(front.url, no, front.trust)
        early_voice = await proxied_voice(front.url, no, front.trust)
        wrong = await proxied_health(front.url, yes, front.trust)
        wrong_voice = await proxied_voice(front.url, yes, front.trust)

    assert (early.state, early_voice.state) == ("skip", "skip")
    assert early.what == f"{front.url}/health answers HTTP 502, but no relay runs here yet"
    assert (wrong.state, wrong_voice.state) == ("fail", "fail")
    assert wrong.mend == "point the proxy at the relay's ports; nginx/relay.conf shows how"
    assert wrong_voice.mend == wrong.mend


@needs("nginx")
async def test_a_proxy_that_nobody_vouches_for(tmp_path: Path) -> None:
    async with (
        stage(tmp_path) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        found = await proxied_health(front.url, yes)

    assert found.state == "fail"
    assert "the certificate is not trusted" in found.what


@asynccontextmanager
async def other_site() -> AsyncIterator[str]:
    """A web server with a health of its own, which upgrades nobody."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="fine")

    app = web.Application()
    app.router.add_get("/health", health)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield f"http://127.0.0.1:{server.port}"
    await server.close()


async def test_a_site_that_is_no_relays() -> None:
    async with other_site() as url:
        health, voice = await proxied_health(url, yes), await proxied_voice(url, yes)

    assert health.what == f"{url}/health is not the relay's: HTTP 200"
    assert health.mend.startswith("route /health to the HTTP listener")
    assert voice.what.endswith("is not the relay's: HTTP 404 instead of an upgrade")
    assert voice.mend.startswith("route upgrades to the voice listener")


async def test_a_proxy_that_does_not_run() -> None:
    found = await proxied_health("http://127.0.0.1:8", no)

    assert found.what == "http://127.0.0.1:8/health is not the relay's: nobody listens there"
    assert found.mend == "is the proxy running, and PUBLIC_URL its address?"

"""GET /metrics: the process's numbers in Prometheus' text format."""

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4


def scrape(render: Callable[[], bytes]) -> Handler:
    """Answer with whatever `render` gives (`relay.metrics.Metrics.render`)."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return handle

"""GET /health, exactly as S3's monitors expect it (CONTRACTS S3-42)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler


@dataclass(frozen=True, slots=True)
class Health:
    """Live sessions, how many are allowed, and seconds since the start."""

    active_connections: int
    max_connections: int
    uptime: float


def health(ask: Callable[[], Health]) -> Handler:
    """Answer with S3's five fields and no other; being able to answer is being healthy."""

    async def handle(_request: web.Request) -> web.Response:
        now = ask()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        return web.json_response(
            {
                "status": "healthy",
                "activeConnections": now.active_connections,
                "maxConnections": now.max_connections,
                "uptime": now.uptime,
                "timestamp": stamp.replace("+00:00", "Z"),
            },
            headers={"Cache-Control": "no-store"},
        )

    return handle

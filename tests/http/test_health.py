import json
from datetime import UTC, datetime

from tests.http.listener import ask, listening


async def test_health_has_exactly_these_five_fields():
    """S3-42."""
    async with listening() as server:
        answer = await ask(server, "/health")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    body = json.loads(answer.body)
    assert set(body) == {"status", "activeConnections", "maxConnections", "uptime", "timestamp"}
    assert body["status"] == "healthy"
    assert (body["activeConnections"], body["maxConnections"]) == (2, 1000)
    assert body["uptime"] == 12.5
    assert body["timestamp"].endswith("Z")  # as JavaScript's toISOString writes it
    age = datetime.now(UTC) - datetime.fromisoformat(body["timestamp"])
    assert -1 < age.total_seconds() < 10


async def test_health_is_the_same_with_an_argument_and_for_head():
    """S3-42."""
    async with listening() as server:
        assert (await ask(server, "/health?probe=1")).status == 200
        head = await ask(server, "/health", "HEAD")
    assert (head.status, head.body) == (200, "")

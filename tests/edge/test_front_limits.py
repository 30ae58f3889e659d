"""nginx keeps a flood from one address away from the relay, and other callers notice nothing."""

import asyncio
import re
from collections import Counter
from pathlib import Path

import pytest

from relay.config import Settings
from tests.components import needs
from tests.edge.front import PATIENCE, Front, free_ports, in_front
from tests.edge.test_front import directives
from tests.scenarios.stage import stage, token

pytestmark = needs("nginx")
OTHER = "127.0.0.77"
"""Another address of this machine."""


def test_nginx_refuses_later_than_the_relay_which_says_why() -> None:
    at_once = Settings.model_fields["max_connections_per_ip"].default
    a_minute = Settings.model_fields["max_connects_per_minute"].default
    (most,) = [value.split()[1] for value in directives("limit_conn")]
    bursts = {value.partition("burst=")[2].split()[0] for value in directives("limit_req")}
    rates = {value.partition("rate=")[2] for value in directives("limit_req_zone")}
    assert int(most) > at_once
    assert bursts == {"150", "100"}
    assert rates == {"5r/s", "50r/s"}
    assert a_minute < 150
    assert directives("limit_req_status") == directives("limit_conn_status") == ["429"]


async def statuses(front: Front, path: str, count: int, address: str) -> Counter[int]:
    """What so many requests in one piece, from this address, are answered with."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    asked = f"{request}\r\n" * (count - 1) + f"{request}Connection: close\r\n\r\n"
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", front.ports.tls, ssl=front.trust, local_addr=(address, 0)
        )
        writer.write(asked.encode())
        answers = await reader.read(-1)
        writer.close()
    return Counter(int(each) for each in re.findall(rb"HTTP/1.1 (\d{3}) ", answers))


@pytest.mark.parametrize(("path", "burst"), [("/v1/realtime", 150), ("/api/sessions", 100)])
async def test_a_flood_is_refused_and_another_address_is_not(path: str, burst: int) -> None:
    """Nothing listens behind nginx, so that 502 is what it would have passed on."""
    voice, http = free_ports(2)
    async with in_front(voice, http) as front:
        flood = await statuses(front, path, 900, "127.0.0.1")
        assert set(flood) == {502, 429}, flood
        assert flood[502] >= burst
        assert await statuses(front, path, 1, OTHER) == {502: 1}
        assert len(await front.entries(901)) == 901


async def test_the_relay_counts_the_address_that_nginx_names(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        stage(tmp_path, max_connections_per_ip=1) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
        front.call("/v1/realtime", additional_headers=headers) as first,
    ):
        await first.until("session.created")
        made_up = {**headers, "X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.1"}
        async with front.call("/v1/realtime", additional_headers=made_up) as second:
            assert await second.closed() == (4029, "Too many sessions")
        async with front.call(
            "/v1/realtime", additional_headers=headers, local_addr=(OTHER, 0)
        ) as third:
            await third.until("session.created")

"""Addresses that are free, that a relay has, that others have, and that are not valid."""

import errno
import socket
from pathlib import Path

import pytest

from relay.check import local
from relay.check.local import bind_error, check_http_port, check_voice_port, own_address
from tests.scenarios.stage import stage


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


async def test_a_free_port_is_free_afterwards_too() -> None:
    port = free_port()
    voice, http = (
        await check_voice_port("127.0.0.1", port),
        await check_http_port("127.0.0.1", port),
    )

    assert (voice.state, voice.what) == ("ok", f"{port} is free")
    assert http == voice
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104
async def test_port_0_is_any_free_port(host: str) -> None:
    assert (await check_voice_port(host, 0)).what == "any free port"


async def test_a_running_relay_passes(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        port, http = here.app.listener.port, here.app.http.port
        found = [
            await check_voice_port("127.0.0.1", port),
            await check_http_port("127.0.0.1", http),
            await check_voice_port("0.0.0.0", port),  # noqa: S104
        ]

    assert [one.state for one in found] == ["ok"] * 3
    assert [one.what for one in found[:2]] == [
        f"a relay answers at {port}",
        f"a relay answers at {http}",
    ]


async def test_swapped_ports_fail(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        voice = await check_voice_port("127.0.0.1", here.app.http.port)
        http = await check_http_port("127.0.0.1", here.app.listener.port)

    assert (voice.state, http.state) == ("fail", "fail")
    assert voice.what.endswith("and not by a relay: HTTP 404 instead of an upgrade")
    assert http.what.endswith("and not by a relay: HTTP 426")


async def test_another_program_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.check.proxy.SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = await check_voice_port("127.0.0.1", port)

    assert (found.state, found.hint) == ("fail", "stop what runs there, or take another port")
    assert found.what == f"{port} is taken, and not by a relay: no answer in 0 s"


async def test_an_address_of_another_machine() -> None:
    found = await check_http_port("192.0.2.1", 0)

    assert found.state == "fail"
    assert found.what == "192.0.2.1:0 cannot be used: Cannot assign requested address"
    assert "set HOST" in found.hint


async def test_a_name_that_is_not_an_address() -> None:
    found = await check_voice_port("nobody.invalid", 8080)

    assert found.state == "fail"
    assert found.what.startswith("nobody.invalid is not an address: ")


async def test_a_port_that_only_root_may_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(local, "_bind", refuse)
    found = await check_voice_port("127.0.0.1", 80)

    assert found.what == "127.0.0.1:80 cannot be used: Permission denied"
    assert found.hint.startswith("take one above 1023")
    assert isinstance(await bind_error("127.0.0.1", 80), PermissionError)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("0.0.0.0", "127.0.0.1:80"),  # noqa: S104
        ("::", "[::1]:80"),
        ("fe80::1", "[fe80::1]:80"),
        ("relay.example", "relay.example:80"),
    ],
)
def test_the_address_of_this_machines_own_listener(host: str, place: str) -> None:
    assert own_address(host, 80) == place

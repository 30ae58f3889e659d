"""Who may call at a door without a Realtime socket."""

from typing import Any

import pytest

from relay.admission.addresses import AddressLimits
from relay.calls.access import DoorAccess, http_status
from relay.interfaces import ConnectRequest
from relay.realtime import endings
from relay.realtime.endings import Ending, SessionRefused
from relay.realtime.grant import Caller

ADA = Caller("ada", "learner", 2_000.0)


async def verify(token: str) -> Caller:
    if token != "good":
        raise SessionRefused(endings.UNAUTHORIZED)
    return ADA


def access(**more: Any) -> DoorAccess:
    return DoorAccess("sessions", verify, lambda: 1_000.0, lambda: 5.0, **more)


def asking(token: str | None = None, client: str = "127.0.0.1", **more: Any) -> ConnectRequest:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    host = more.pop("host", "127.0.0.1:8001")
    return ConnectRequest("/", headers={"Host": host, **headers}, client_ip=client, **more)


async def test_a_token_is_its_user_at_any_door() -> None:
    assert await access().caller(asking("good")) is ADA
    assert await access(strangers="admitted").caller(asking("good")) is ADA


async def test_without_a_token_nobody_comes_in_at_a_closed_door() -> None:
    with pytest.raises(SessionRefused) as refused:
        await access().caller(asking())

    assert http_status(refused.value.ending) == 401


async def test_a_bad_token_is_refused_at_an_open_door_too() -> None:
    with pytest.raises(SessionRefused):
        await access(strangers="admitted").caller(asking("bad"))


async def test_every_stranger_is_a_user_of_their_own() -> None:
    door = access(strangers="admitted")
    first, second = await door.caller(asking()), await door.caller(asking())

    assert first.sub.startswith("anonymous:sessions:")
    assert first.sub != second.sub
    assert first.role == "learner"


@pytest.mark.parametrize(
    ("client", "origin", "admitted"),
    [
        ("127.0.0.1", None, True),
        ("::1", "http://localhost:3000", True),
        ("127.0.0.1", "http://127.0.0.1:5173", True),
        ("127.0.0.1", "https://evil.example", False),
        ("127.0.0.1", "null", False),
        ("203.0.113.9", None, False),
        ("203.0.113.9", "http://localhost", False),
    ],
)
async def test_in_development_only_this_machine_comes_in(
    client: str, origin: str | None, admitted: bool
) -> None:
    door = access(strangers="local")

    assert door.admits_stranger(asking(client=client, origin=origin)) is admitted


async def test_who_guesses_tokens_has_to_wait() -> None:
    causes: list[str] = []
    door = access(addresses=AddressLimits(per_minute=2), refused=causes.append)
    seen = []
    for _ in range(4):
        with pytest.raises(SessionRefused) as refused:
            await door.caller(asking("bad", client="203.0.113.9"))
        seen.append(http_status(refused.value.ending))

    assert seen == [401, 401, 429, 429]
    assert causes == ["unauthorized"] * 4


async def test_the_service_key_is_an_admin() -> None:
    caller = await access(service_key="secret-service-key").caller(asking("secret-service-key"))

    assert caller.role == "admin"


@pytest.mark.parametrize(
    ("client", "host", "local"),
    [
        ("127.0.0.1", "localhost:8001", True),
        ("::1", "[::1]:8001", True),
        ("127.0.0.1", "relay.example", False),
        ("203.0.113.9", "localhost", False),
    ],
)
def test_the_power_is_for_this_machine_by_its_name(client: str, host: str, local: bool) -> None:
    assert access().is_local(asking(client=client, host=host)) is local


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (endings.UNAUTHORIZED, 401),
        (endings.TOKEN_EXPIRED, 401),
        (endings.FORBIDDEN, 403),
        (endings.BUDGET_EXHAUSTED, 429),
        (endings.TOO_MANY_REQUESTS, 429),
        (endings.AT_CAPACITY, 503),
        (endings.AUTH_UNAVAILABLE, 503),
        (endings.ENGINE_TIMED_OUT, 503),
        (endings.INTERNAL_ERROR, 500),
    ],
)
def test_endings_have_their_http_status(ending: Ending, status: int) -> None:
    assert http_status(ending) == status

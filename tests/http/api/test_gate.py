import pytest

from relay.http.api.auth import RateLimiter
from tests.http.api.desk import SERVICE_KEY, bearer, desk, header
from tests.stores.words import LEARNER

KEY = "openai-insecure-api-key."
SESSIONS = "/api/sessions"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": f"Bearer {bearer()}"}, ""),
        ({"Sec-WebSocket-Protocol": f"relay.v1, {KEY}a:admin:9999999999"}, ""),
        ({}, f"?token={bearer()}"),
        ({}, f"?access_token={bearer()}"),
        ({"Authorization": f"Bearer {SERVICE_KEY}"}, ""),
    ],
    ids=["header", "subprotocol", "token", "access_token", "service key"],
)
async def test_ways_in(headers: dict[str, str], query: str) -> None:
    async with desk() as here:
        assert (await here.ask(SESSIONS + query, headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [{}, header("a", "boss"), header(ttl=-60), {"Authorization": f"Bearer {SERVICE_KEY}x"}],  # type: ignore[arg-type]
    ids=["none", "made up", "expired", "nearly the service key"],
)
async def test_who_is_nobody_is_told_so(headers: dict[str, str]) -> None:
    async with desk() as here:
        answer = await here.ask(SESSIONS, headers=headers)
        assert answer.refusal == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_where_nobody_can_be_asked_it_is_not_the_callers_fault() -> None:
    async with desk() as here:
        answer = await here.ask(SESSIONS, headers={"Authorization": "Bearer nobody to ask"})
        assert answer.refusal == (503, "unavailable")


async def test_without_a_service_key_an_empty_one_opens_nothing() -> None:
    async with desk(service_key="") as here:
        answer = await here.ask(SESSIONS, headers={"Authorization": f"Bearer {SERVICE_KEY}"})
        assert answer.refusal == (401, "unauthorized")


async def test_who_asks_too_often_is_told_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.http.api.api.RateLimiter", lambda clock: RateLimiter(clock, 2, 0.01))
    async with desk() as here:
        for _ in range(2):
            assert (await here.ask(SESSIONS)).status == 200
        refused = await here.ask(SESSIONS)
        assert refused.refusal == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) > 1
        assert (await here.ask(SESSIONS, headers=header(LEARNER, "learner"))).status == 200

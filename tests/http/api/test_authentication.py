import pytest
from structlog.testing import capture_logs

from relay.auth.tokens import MAX_TOKEN
from relay.http.api.auth import RateLimiter
from tests.http.api.running_api import SERVICE_KEY, bearer, header, running_api
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
async def test_ways_to_send_the_token(headers: dict[str, str], query: str) -> None:
    async with running_api() as api:
        assert (await api.ask(SESSIONS + query, headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [{}, header("a", "boss"), header(ttl=-60), {"Authorization": f"Bearer {SERVICE_KEY}x"}],  # type: ignore[arg-type]
    ids=["none", "made up", "expired", "nearly the service key"],
)
async def test_a_missing_or_invalid_token(headers: dict[str, str]) -> None:
    async with running_api() as api:
        answer = await api.ask(SESSIONS, headers=headers)
        assert answer.error == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_verifier_that_is_unavailable_is_not_the_callers_fault() -> None:
    async with running_api() as api:
        answer = await api.ask(SESSIONS, headers={"Authorization": "Bearer no verifier"})
        assert answer.error == (503, "unavailable")


async def test_a_token_that_is_too_long_is_told_so() -> None:
    async with running_api() as api:
        headers = {"Authorization": f"Bearer {'x' * (MAX_TOKEN + 1)}"}
        assert (await api.ask(SESSIONS, headers=headers)).error == (401, "token_too_long")
        async with api.subscribe(headers=headers) as feed:
            assert (await feed.until("error"))["error"]["code"] == "token_too_long"
            assert await feed.closed() == (4001, "Token too long")


async def test_refusals_are_counted_and_logged_with_cause_and_address() -> None:
    counted: list[str] = []
    async with running_api(refused=counted.append) as api:
        with capture_logs() as lines:
            for token in ("expired", "no verifier", None):
                headers = {"X-Forwarded-For": "203.0.113.7"}
                if token is not None:
                    headers["Authorization"] = f"Bearer {token}"
                await api.ask(SESSIONS, headers=headers)
    refusals = [line for line in lines if line["event"] == "request refused"]
    assert counted == ["it is over", "the issuer cannot be asked", "unauthorized"]
    assert [line["cause"] for line in refusals] == counted
    assert {line["client"] for line in refusals} == {"203.0.113.7"}
    assert all(line["refused"] for line in refusals), "repetitions are counted together"


async def test_without_a_service_key_none_is_accepted() -> None:
    async with running_api(service_key="") as api:
        answer = await api.ask(SESSIONS, headers={"Authorization": f"Bearer {SERVICE_KEY}"})
        assert answer.error == (401, "unauthorized")


async def test_too_many_requests_are_told_when_to_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.http.api.app.RateLimiter", lambda clock: RateLimiter(clock, 2, 0.01))
    async with running_api() as api:
        for _ in range(2):
            assert (await api.ask(SESSIONS)).status == 200
        refused = await api.ask(SESSIONS)
        assert refused.error == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) > 1
        assert (await api.ask(SESSIONS, headers=header(LEARNER, "learner"))).status == 200

"""OpenAI's HTTP addresses: a client secret for a user's token, all else refused in its shape."""

import json
from typing import Any

import pytest

from relay.auth.client_secrets import ClientSecrets
from relay.clock import MachineClock
from relay.cors import CorsPolicy
from relay.http.api.auth import Authenticator, RateLimiter
from relay.http.api.client_secrets import MAX_BODY, Refused, read_asked, secret_routes
from tests.http.api.running_api import (
    SERVICE_KEY,
    Answer,
    RunningApi,
    bearer,
    header,
    running_api,
    verify,
)
from tests.http.listener import ask as ask_listener
from tests.http.listener import listening

PATH = "/v1/realtime/client_secrets"
SECRETS = ClientSecrets("k" * 64, MachineClock().unix)


async def ask(api: RunningApi, path: str = PATH, method: str = "POST", **options: Any) -> Answer:
    return await api.ask(path, method, **options)


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and code of an error that has OpenAI's shape."""
    assert answer.headers["Content-Type"].startswith("application/json")
    error = answer.json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    return answer.status, error["code"]


@pytest.mark.parametrize(
    "path",
    [PATH, "/openai/v1/realtime/client_secrets", "/realtime/client_secrets", f"{PATH}/"],
)
async def test_a_secret_is_the_callers_with_the_settings_that_were_asked(path: str) -> None:
    settings = {"type": "realtime", "model": "gpt-realtime-mini", "instructions": "Be brief."}
    async with running_api(client_secrets=SECRETS) as api:
        body = {"session": settings, "expires_after": {"anchor": "created_at", "seconds": 600}}
        answer = await ask(api, path, json=body, headers=header("ada", "learner"))
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json.keys() == {"value", "expires_at", "session"}
    assert answer.json["session"].items() >= settings.items()
    assert answer.json["session"]["object"] == "realtime.session"
    caller = SECRETS.read(answer.json["value"])
    assert (caller.sub, caller.role, caller.session) == ("ada", "learner", settings)
    assert answer.json["expires_at"] <= MachineClock().unix() + 60


async def test_a_key_in_azures_header_and_no_body_will_do() -> None:
    async with running_api(client_secrets=SECRETS) as api:
        answer = await ask(api, headers={"api-key": bearer("ada", "learner")})
    assert SECRETS.read(answer.json["value"]).session == {}


async def test_who_gets_no_secret() -> None:
    async with running_api(client_secrets=SECRETS) as api:
        assert refusal(await ask(api, headers={})) == (401, "invalid_api_key")
        wrong = await ask(api, headers={"Authorization": "Bearer x"})
        assert refusal(wrong) == (401, "invalid_api_key")
        assert wrong.headers["WWW-Authenticate"] == "Bearer"
        down = await ask(api, headers={"Authorization": "Bearer no verifier"})
        assert refusal(down) == (503, "unavailable")
        assert down.json["error"]["type"] == "server_error"
        key = await ask(api, headers={"Authorization": f"Bearer {SERVICE_KEY}"})
        assert refusal(key) == (403, "service_key_refused")
        made = (await ask(api)).json["value"]
        again = await ask(api, headers={"Authorization": f"Bearer {made}"})
        assert refusal(again) == (401, "invalid_api_key"), "a secret makes no secrets"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("{", "invalid_json", None),
        ("[]", "invalid_type", None),
        ('{"model": "gpt-realtime", "voice": "alloy"}', "unknown_parameter", "model"),
        ('{"session": []}', "invalid_type", "session"),
        ('{"session": {"audio": 1}}', "invalid_type", "session.audio"),
        ('{"session": {"type": "transcription"}}', "unsupported_session_type", "session.type"),
        ('{"session": {"model": "a b"}}', "invalid_value", "session.model"),
        ('{"expires_after": {"seconds": 9}}', "invalid_value", "expires_after.seconds"),
        ('{"expires_after": {"seconds": true}}', "invalid_value", "expires_after.seconds"),
        ('{"expires_after": {"anchor": "then"}}', "invalid_value", "expires_after"),
    ],
)
def test_what_cannot_be_read_is_named(body: str, code: str, param: str | None) -> None:
    with pytest.raises(Refused) as refused:
        read_asked(body.encode())
    error = refused.value.body["error"]
    assert (refused.value.status, error["code"], error["param"]) == (400, code, param)


async def test_what_is_too_long() -> None:
    chinese = "".join(map(chr, range(0x4E00, 0x6E00)))
    async with running_api(client_secrets=SECRETS) as api:
        long = await ask(api, json={"session": {"instructions": chinese}})
        assert refusal(long) == (400, "string_above_max_length")
        longer = await ask(api, data=json.dumps({"session": {"instructions": "x" * MAX_BODY}}))
        assert refusal(longer) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/realtime/calls", "WebRTC"),
        ("/openai/v1/realtime/calls", "WebRTC"),
        ("/v1/realtime/calls/rtc_1/hangup", "WebRTC"),
        ("/v1/realtime/sessions", "client_secrets"),
        ("/v1/realtime/transcription_sessions", "Transcription"),
        ("/v1/realtime/translations/client_secrets", "Translation"),
    ],
)
async def test_the_rest_is_refused_by_name(path: str, says: str) -> None:
    async with running_api(client_secrets=SECRETS) as api:
        answer = await ask(api, path, headers={}, data="v=0")
    assert refusal(answer) == (404, "unsupported_endpoint")
    assert says in answer.json["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/realtimeapi/sessions"])
async def test_any_other_address_of_openais_is_refused_in_its_shape(path: str) -> None:
    async with running_api(client_secrets=SECRETS) as api:
        answer = await ask(api, path, headers={}, data="{}")
    assert refusal(answer) == (404, "unknown_url")
    assert path in answer.json["error"]["message"]


async def test_another_method_is_none() -> None:
    async with running_api(client_secrets=SECRETS) as api:
        assert refusal(await ask(api, method="GET")) == (405, "method_not_allowed")


async def test_pages_of_allowed_origins_may_ask() -> None:
    page, other = "https://app.example", "https://other.example"
    async with running_api(client_secrets=SECRETS, allowed_origins=(page,)) as api:
        asked = {"Origin": page, "Access-Control-Request-Method": "POST"}
        preflight = await ask(api, method="OPTIONS", headers=asked)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Headers"] == "*, Authorization"
        answer = await ask(api, headers={**header(), "Origin": page})
        assert answer.headers["Access-Control-Allow-Origin"] == page
        refused = await ask(api, headers={**header(), "Origin": other})
        assert refusal(refused) == (403, "origin_refused")


async def test_who_asks_too_often_waits() -> None:
    limited = Authenticator(verify, RateLimiter(lambda: 0.0, burst=1.0))
    routes = [*secret_routes(limited, SECRETS, CorsPolicy(()))]
    async with listening(routes=routes) as server:
        assert (await ask_listener(server, PATH, "POST", header())).status == 200
        answer = await ask_listener(server, PATH, "POST", header())
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (429, "too_many_requests")
    assert error["type"] == "rate_limit_error"
    assert int(answer.headers["Retry-After"]) >= 1

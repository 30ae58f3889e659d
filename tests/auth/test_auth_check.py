"""Tests of asking Supabase whether a user exists (S3-6), with a fake of its Auth server."""

import asyncio

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from relay.auth import jwks as fetch
from relay.auth.lookups import FAILURES, MAX_CALLS, PAUSE_SECONDS, USER_BURST
from relay.auth.user_check import AuthCheck, LocalFallback
from relay.realtime.endings import AUTH_UNAVAILABLE, UNAUTHORIZED, SessionRefused
from tests.auth.supabase import SERVICE_KEY, SUB

TOKEN = "a.b.c"
NEVER = 1e9
"""A time of the loop that no test reaches."""


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outcomes():
    return []


@pytest.fixture
async def check(auth, http, clock, outcomes):
    asked = AuthCheck(auth.url + "/", SERVICE_KEY, http, outcomes.append, clock)
    yield asked
    await asked.aclose()


async def ending(check, token=TOKEN):
    with pytest.raises(SessionRefused) as refusal:
        await check.confirm(token, SUB, NEVER)
    return refusal.value.ending


async def frozen(check, auth):
    """Have the server stop answering, until enough callers have found that out."""
    auth.gate = asyncio.Event()
    told = await asyncio.gather(*(ending(check, f"a.b.{n}") for n in range(FAILURES)))
    assert told == [AUTH_UNAVAILABLE] * FAILURES


async def test_S3_6_a_living_user_is_confirmed_in_the_callers_name(check, auth):
    auth.users["a.b.c"] = {"id": SUB, "email": "learner@example.org"}
    await check.confirm("a.b.c", SUB, NEVER)
    assert auth.user_asked[0]["apikey"] == SERVICE_KEY
    assert auth.user_asked[0]["Authorization"] == "Bearer a.b.c"


async def test_S3_6_a_deleted_user_is_unauthorized(check, auth):
    auth.users["a.b.c"] = {"id": SUB}
    await check.confirm("a.b.c", SUB, NEVER)
    del auth.users["a.b.c"]
    assert await ending(check) is UNAUTHORIZED


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_by_the_server_is_unauthorized(check, auth, status):
    auth.user_answer = web.json_response({"error_code": "user_not_found"}, status=status)
    assert await ending(check) is UNAUTHORIZED


async def test_a_token_of_another_user_is_unauthorized(check, auth):
    auth.users["a.b.c"] = {"id": "another-user"}
    assert await ending(check) is UNAUTHORIZED


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=502, text="<html>"),
        web.json_response({"code": 429}, status=429),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
        web.Response(text="not json"),
        web.json_response(["not a user"]),
        web.json_response({}),
    ],
    ids=["500", "502", "429", "302", "text", "list", "no id"],
)
async def test_an_unusable_answer_leaves_the_user_unchecked(check, auth, answer):
    auth.user_answer = answer
    assert await ending(check) is AUTH_UNAVAILABLE


async def test_a_refused_service_key_leaves_the_user_unchecked(http, auth):
    assert await ending(AuthCheck(auth.url, "sb_secret_revoked", http)) is AUTH_UNAVAILABLE


async def test_S3_6_an_unreachable_server_refuses_in_bounded_time(http):
    assert await ending(AuthCheck("http://127.0.0.1:1", SERVICE_KEY, http)) is AUTH_UNAVAILABLE


async def test_S3_6_a_silent_server_refuses_in_bounded_time(check, auth, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    auth.gate = asyncio.Event()
    assert await ending(check) is AUTH_UNAVAILABLE


async def test_a_thousand_questions_about_one_token_are_one_request(check, auth, outcomes):
    auth.gate = asyncio.Event()
    auth.users["a.b.c"] = {"id": SUB}
    asking = [asyncio.create_task(check.confirm("a.b.c", SUB, NEVER)) for _ in range(1000)]
    while not auth.user_asked:
        await asyncio.sleep(0.001)
    auth.gate.set()
    await asyncio.gather(*asking)
    assert len(auth.user_asked) == 1
    assert outcomes == ["confirmed"] * 1000


async def test_one_user_does_not_use_up_the_server(check, auth, clock):
    tokens = [f"a.b.{number}" for number in range(2 * int(USER_BURST))]
    auth.users.update({token: {"id": SUB} for token in tokens}, other={"id": "other"})
    told = await asyncio.gather(
        *(check.confirm(token, SUB, NEVER) for token in tokens), return_exceptions=True
    )
    refused = [one.ending for one in told if isinstance(one, SessionRefused)]
    assert refused == [AUTH_UNAVAILABLE] * int(USER_BURST)
    assert len(auth.user_asked) == USER_BURST
    await check.confirm("other", "other", NEVER)


async def test_an_answer_is_not_kept_for_the_next_question(check, auth):
    auth.users["a.b.c"] = {"id": SUB}
    await check.confirm("a.b.c", SUB, NEVER)
    await check.confirm("a.b.c", SUB, NEVER)
    assert len(auth.user_asked) == 2


async def test_the_requests_at_once_are_bounded(check, auth):
    auth.gate = asyncio.Event()
    tokens = [f"a.b.{number}" for number in range(4 * MAX_CALLS)]
    auth.users.update({token: {"id": token} for token in tokens})
    asking = [asyncio.create_task(check.confirm(token, token, NEVER)) for token in tokens]
    while len(auth.user_asked) < MAX_CALLS:
        await asyncio.sleep(0.001)
    assert len(auth.user_asked) == MAX_CALLS
    auth.gate.set()
    await asyncio.gather(*asking)
    assert len(auth.user_asked) == len(tokens)


async def test_while_the_server_is_frozen_nobody_waits_for_it(
    check, auth, clock, outcomes, monkeypatch
):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    await frozen(check, auth)
    monkeypatch.setattr(fetch, "MAX_SECONDS", 3600.0)  # who asked now would wait for an hour
    async with asyncio.timeout(30):
        assert [await ending(check) for _ in range(50)] == [AUTH_UNAVAILABLE] * 50
    assert len(auth.user_asked) <= FAILURES, "and nobody asks"
    assert outcomes == ["unavailable"] * (FAILURES + 50)


async def test_a_server_that_is_back_is_found_by_one_question_in_a_pause(
    check, auth, clock, monkeypatch
):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    await frozen(check, auth)
    clock.now += PAUSE_SECONDS
    assert await ending(check) is AUTH_UNAVAILABLE
    assert await ending(check) is AUTH_UNAVAILABLE
    assert len(auth.user_asked) <= FAILURES + 1

    monkeypatch.setattr(fetch, "MAX_SECONDS", 3.0)
    auth.gate.set()
    auth.users["a.b.c"] = {"id": SUB}
    assert await ending(check) is AUTH_UNAVAILABLE
    clock.now += PAUSE_SECONDS
    for _ in range(5):
        await check.confirm("a.b.c", SUB, NEVER)


async def test_a_server_that_refuses_tokens_is_not_down(check, auth):
    for number in range(4 * FAILURES):
        assert await ending(check, f"a.b.{number}") is UNAUTHORIZED
    auth.users["a.b.c"] = {"id": SUB}
    await check.confirm("a.b.c", SUB, NEVER)


async def test_the_log_says_once_that_it_is_down_and_once_that_it_is_back(
    check, auth, clock, monkeypatch
):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    with capture_logs() as lines:
        await frozen(check, auth)
        for _ in range(3):
            clock.now += PAUSE_SECONDS
            await ending(check)
        monkeypatch.setattr(fetch, "MAX_SECONDS", 3.0)
        auth.gate.set()
        auth.users["a.b.c"] = {"id": SUB}
        clock.now += PAUSE_SECONDS
        for _ in range(3):
            await check.confirm("a.b.c", SUB, NEVER)
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "the authentication server is down"),
        ("info", "the authentication server answers again"),
    ]
    assert lines[0]["why"] == "TimeoutError"


async def test_where_the_local_check_suffices_a_frozen_server_refuses_nobody(
    check, auth, monkeypatch
):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    local = LocalFallback(check)
    await frozen(check, auth)
    await local.confirm("a.b.c", SUB, NEVER)


async def test_where_the_local_check_suffices_a_refusal_still_counts(check, auth):
    local = LocalFallback(check)
    assert await ending(local) is UNAUTHORIZED
    auth.users["a.b.c"] = {"id": SUB}
    await local.confirm("a.b.c", SUB, NEVER)


async def test_nobody_gets_around_the_server_by_asking_too_much(check, auth):
    local = LocalFallback(check)
    tokens = [f"a.b.{number}" for number in range(int(USER_BURST) + 5)]
    told = await asyncio.gather(
        *(local.confirm(token, SUB, NEVER) for token in tokens), return_exceptions=True
    )
    refused = [one.ending for one in told if isinstance(one, SessionRefused)]
    assert len(refused) == len(tokens), "the server knows none of them"
    assert refused.count(AUTH_UNAVAILABLE) == 5


async def test_where_the_time_of_the_check_is_over_nobody_waits_for_the_server(check, auth):
    auth.gate = asyncio.Event()
    past = asyncio.get_running_loop().time()
    with pytest.raises(SessionRefused) as refusal:
        await check.confirm(TOKEN, SUB, past)
    assert refusal.value.ending is AUTH_UNAVAILABLE
    await LocalFallback(check).confirm(TOKEN, SUB, past)

"""Tests of asking Supabase whether a user exists (S3-6), with a fake of its Auth server."""

import asyncio

import pytest
from aiohttp import web

from relay.auth import jwks as fetch
from relay.auth.tokens import AuthCheck
from relay.realtime.endings import INTERNAL_ERROR, UNAUTHORIZED, SessionRefused
from tests.auth.supabase import SERVICE_KEY, SUB


@pytest.fixture
def check(auth, http):
    return AuthCheck(auth.url + "/", SERVICE_KEY, http)


async def ending(check):
    with pytest.raises(SessionRefused) as refusal:
        await check.confirm("a.b.c", SUB)
    return refusal.value.ending


async def test_S3_6_a_living_user_is_confirmed_in_the_callers_name(check, auth):
    auth.users["a.b.c"] = {"id": SUB, "email": "learner@example.org"}
    await check.confirm("a.b.c", SUB)
    assert auth.user_asked[0]["apikey"] == SERVICE_KEY
    assert auth.user_asked[0]["Authorization"] == "Bearer a.b.c"


async def test_S3_6_a_deleted_user_is_unauthorized(check, auth):
    auth.users["a.b.c"] = {"id": SUB}
    await check.confirm("a.b.c", SUB)
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
async def test_an_unusable_answer_is_an_internal_error(check, auth, answer):
    auth.user_answer = answer
    assert await ending(check) is INTERNAL_ERROR


async def test_a_refused_service_key_is_an_internal_error(http, auth):
    assert await ending(AuthCheck(auth.url, "sb_secret_revoked", http)) is INTERNAL_ERROR


async def test_S3_6_an_unreachable_server_refuses_in_bounded_time(http):
    assert await ending(AuthCheck("http://127.0.0.1:1", SERVICE_KEY, http)) is INTERNAL_ERROR


async def test_S3_6_a_silent_server_refuses_in_bounded_time(check, auth, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    auth.gate = asyncio.Event()
    assert await ending(check) is INTERNAL_ERROR

"""A fetch ends: in time, within its size, and where it was sent."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from relay.auth import jwks as fetch
from relay.auth.jwks import MAX_BODY, FetchFailed, HttpAnswer, fetch_json


async def test_the_status_and_the_document_come_back(auth, http):
    auth.jwks_answer = web.json_response({"a": [1]}, status=418)
    assert await fetch_json(http, auth.jwks_url) == HttpAnswer(418, {"a": [1]})


@pytest.mark.parametrize("body", [b"<html>502</html>", b"", b"\xff\xfe\x00", b"[" * 100_000])
async def test_what_is_not_json_is_no_document(auth, http, body):
    auth.jwks_answer = web.Response(body=body)
    assert await fetch_json(http, auth.jwks_url) == HttpAnswer(200, None)


async def test_a_body_without_end_is_cut_off(auth, http):
    auth.jwks_answer = web.Response(body=b" " * (MAX_BODY + 1))
    with pytest.raises(FetchFailed, match="more than"):
        await fetch_json(http, auth.jwks_url)


async def test_a_compressed_body_is_bounded_by_what_it_unpacks_to(auth, http):
    auth.jwks_answer = web.Response(body=b" " * (40 * MAX_BODY))
    auth.jwks_answer.enable_compression(web.ContentCoding.gzip)
    with pytest.raises(FetchFailed):
        await fetch_json(http, auth.jwks_url)


async def test_a_silent_server_is_given_up(auth, http, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    auth.gate = asyncio.Event()
    with pytest.raises(FetchFailed):
        await fetch_json(http, auth.jwks_url)


async def test_a_redirect_is_not_followed_with_our_key(auth, http):
    elsewhere = {"Location": f"{auth.url}/auth/v1/user"}
    auth.jwks_answer = web.Response(status=302, headers=elsewhere)
    answer = await fetch_json(http, auth.jwks_url, {"apikey": "k"})
    assert (answer.status, auth.user_asked) == (302, [])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x?apikey=s3cr3t", "not a url s3cr3t"])
async def test_nobody_there_says_so_without_the_address(url):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(FetchFailed) as failure:
            await fetch_json(http, url)
    assert "s3cr3t" not in str(failure.value)
    assert failure.value.__cause__ is None

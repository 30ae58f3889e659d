"""The development pages, and what a browser that was let in is given beside them."""

import asyncio
import json
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from relay.http.page_access import MAX_WRONG_CODES
from relay.http.pages import MAX_CODE_BODY, WEB, Pages
from tests.http.entry import entered
from tests.http.listener import ask, listening

CONFIG = {"url": "ws://127.0.0.1:8080/v1/realtime", "token": "a.b.c", "engine": "offline"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html><title>t</title>")
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "worklet.js").write_text("registerProcessor")
    (tmp_path / "style.css").write_text("p{}")
    (tmp_path / "notes.md").write_text("not to be served")
    (tmp_path.parent / "secret.js").write_text("outside")
    return tmp_path


@pytest.fixture
def pages(folder):
    return Pages(lambda: CONFIG, folder)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/audio/worklet.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
    ],
)
async def test_a_file_has_its_type_and_the_security_headers(pages, path, kind):
    async with listening(pages=pages) as server:
        answer = await ask(server, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/notes.md",  # not a kind that is served
        "/audio/",  # no listing
        "/audio",
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/audio/..%2f..%2fsecret.js",
        "/index.html/",
        "/etc/passwd",
    ],
)
async def test_nothing_else_is_served(pages, path):
    async with listening(pages=pages) as server:
        answer = await ask(server, path)
    assert (answer.status, answer.body) == (404, "")


async def test_a_changed_file_is_sent_and_an_unchanged_one_is_not_sent_again(pages, folder):
    async with listening(pages=pages) as server:
        first = await ask(server, "/style.css")
        tag = {"If-None-Match": first.headers["Etag"]}
        assert (await ask(server, "/style.css", headers=tag)).status == 304
        (folder / "style.css").write_text("p{color:red}")
        assert (await ask(server, "/style.css", headers=tag)).body == "p{color:red}"


async def test_the_configuration_is_for_a_browser_that_brought_the_code(pages):
    async with listening(pages=pages) as server, entered(printed(server, pages)) as (http, page):
        headers = {"Sec-Fetch-Site": "same-origin"}
        async with http.get(f"{page}config.json", headers=headers) as answer:
            assert answer.status == 200
            assert await answer.json() == CONFIG
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in answer.headers


def printed(server, pages):
    return f"http://127.0.0.1:{server.port}/#code={pages.key.code}"


async def bring(server, body, **headers):
    async with (
        ClientSession(f"http://127.0.0.1:{server.port}") as http,
        http.post("/code", data=body, headers=headers) as answer,
    ):
        return answer.status, answer.headers.get("Set-Cookie", "")


async def test_the_cookie_is_for_this_site_and_for_no_script(pages):
    async with listening(pages=pages) as server:
        body = json.dumps({"code": pages.key.code})
        status, cookie = await bring(server, body)
        again, the_same = await bring(server, body)
        name, *attributes = cookie.split("; ")
    assert (status, again) == (204, 204)
    assert the_same == cookie, "another browser of this run"
    assert name.startswith(f"relay_page_{server.port}=")
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=Strict"}
    assert pages.key.code not in cookie


@pytest.mark.parametrize("path", ["/config.json", "/coach/config.json"])
async def test_without_this_runs_cookie_a_page_is_told_so_and_nothing_else(pages, path):
    pages = replace(pages, coach_config=lambda: {"token": "d.e.f", "user_id": "coach"})
    async with listening(pages=pages) as server:
        for cookie in ("", f"relay_page_{server.port}=wrong", f"relay_page_0={pages.key.code}"):
            answer = await ask(server, path, headers={"Cookie": cookie})
            assert (answer.status, answer.body) == (401, "")
            assert answer.headers["WWW-Authenticate"] == "RelayPage"


async def test_a_cookie_of_an_earlier_run_opens_nothing(pages, folder):
    before = Pages(lambda: CONFIG, folder)
    stale = before.key.cookie_for(before.key.code, 0.0)
    async with listening(pages=pages) as server:
        headers = {"Cookie": f"relay_page_{server.port}={stale}"}
        assert (await ask(server, "/config.json", headers=headers)).status == 401


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"null", b"no json", b'{"code": 7}', b'{"code": ["x"]}'),
        b'{"code": "' + b"x" * MAX_CODE_BODY + b'"}',
    ],
)
async def test_what_is_no_code_is_a_bad_request(pages, body):
    async with listening(pages=pages) as server:
        assert await bring(server, body) == (400, "")


async def test_a_code_that_comes_in_pieces_is_read_whole(pages):
    async with listening(pages=pages) as server:
        body = json.dumps({"code": pages.key.code}).encode()
        head = f"POST /code HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head.encode() + body[:9])
        await writer.drain()
        await asyncio.sleep(0.05)  # a segment of its own
        writer.write(body[9:])
        assert b" 204 " in await reader.readline()
        writer.close()


async def test_guesses_are_bounded_and_let_nobody_in(pages):
    async with listening(pages=pages) as server:
        told = [await bring(server, b'{"code": "guess"}') for _ in range(MAX_WRONG_CODES + 1)]
        locked = await bring(server, json.dumps({"code": pages.key.code}))
    assert told == [(403, "")] * MAX_WRONG_CODES + [(429, "")]
    assert locked == (429, "")


FOREIGN = [
    {"Host": "relay.example"},
    {"Host": "[::1]evil"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.example"},
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Forwarded-Proto": "https"},
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 edge"},
    {"CF-Ray": "1"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_for_other_requests_neither_configuration_nor_code_exist(pages, headers):
    """Even with this run's cookie and code: a stranger behind a proxy may have been told them."""
    cookie = pages.key.cookie_for(pages.key.code, 0.0)
    async with listening(pages=pages) as server:
        own = {"Cookie": f"relay_page_{server.port}={cookie}"}
        answer = await ask(server, "/config.json", headers=own | headers)
        status = await bring(server, json.dumps({"code": pages.key.code}), **headers)
    assert (answer.status, answer.body) == (404, "")
    assert status == (404, "")


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
async def test_the_configuration_allows_only_get(pages, method):
    async with listening(pages=pages) as server:
        answer = await ask(server, "/config.json", method)
    assert (answer.status, answer.body) == (405, "")


async def test_every_page_load_gets_a_fresh_token(folder):
    tokens = iter(["first", "second"])
    pages = Pages(lambda: {"token": next(tokens)}, folder)
    async with listening(pages=pages) as server, entered(printed(server, pages)) as (http, page):
        for wanted in ("first", "second"):
            async with http.get(f"{page}config.json") as answer:
                assert (await answer.json())["token"] == wanted


async def test_the_coachs_page_has_an_address_and_a_token_of_its_own(folder):
    (folder / "coach.html").write_text("<!doctype html><title>coach</title>")
    pages = Pages(lambda: CONFIG, folder, lambda: {"token": "d.e.f", "user_id": "coach"})
    async with listening(pages=pages) as server, entered(printed(server, pages)) as (http, site):
        page = await ask(server, "/coach")
        async with http.get(f"{site}coach/config.json") as answer:
            config = await answer.json()
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>coach" in page.body
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert config == {"token": "d.e.f", "user_id": "coach"}


async def test_without_a_coach_page_there_is_no_coach_token(pages):
    async with listening(pages=pages) as server:
        assert (await ask(server, "/coach/config.json")).status == 404
        assert (await ask(server, "/coach")).status == 404


async def test_pages_without_an_index_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.html"):
        async with listening(pages=Pages(lambda: CONFIG, tmp_path)):
            pass


async def test_the_checkout_has_the_pages_in_web():
    assert (WEB / "index.html").is_file()

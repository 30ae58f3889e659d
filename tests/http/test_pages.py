import json

import pytest

from relay.http.server import WEB, Pages
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


async def test_the_configuration_is_for_a_page_of_this_machine(pages):
    async with listening(pages=pages) as server:
        answer = await ask(server, "/config.json", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status == 200
    assert json.loads(answer.body) == CONFIG
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "relay.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"X-Forwarded-For": "203.0.113.9"},
    ],
)
async def test_for_other_requests_the_configuration_does_not_exist(pages, headers):
    async with listening(pages=pages) as server:
        answer = await ask(server, "/config.json", headers=headers)
    assert (answer.status, answer.body) == (404, "")


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
async def test_the_configuration_allows_only_get(pages, method):
    async with listening(pages=pages) as server:
        answer = await ask(server, "/config.json", method)
    assert (answer.status, answer.body) == (405, "")


async def test_every_page_load_gets_a_fresh_token(folder):
    tokens = iter(["first", "second"])
    async with listening(pages=Pages(lambda: {"token": next(tokens)}, folder)) as server:
        assert "first" in (await ask(server, "/config.json")).body
        assert "second" in (await ask(server, "/config.json")).body


async def test_the_coachs_page_has_an_address_and_a_token_of_its_own(folder):
    (folder / "coach.html").write_text("<!doctype html><title>coach</title>")
    pages = Pages(lambda: CONFIG, folder, lambda: {"token": "d.e.f", "user_id": "coach"})
    async with listening(pages=pages) as server:
        page = await ask(server, "/coach")
        config = await ask(server, "/coach/config.json")
        foreign = await ask(server, "/coach/config.json", headers={"Sec-Fetch-Site": "cross-site"})
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>coach" in page.body
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert json.loads(config.body) == {"token": "d.e.f", "user_id": "coach"}
    assert (foreign.status, foreign.body) == (404, "")


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

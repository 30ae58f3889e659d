from typing import Any

import pytest

from relay.interfaces import SessionStatus
from tests.feed.calls import FakeCall
from tests.http.api.running_api import FEED, header, running_api

PAGE = "https://coach.example.org"
ALLOWED: dict[str, Any] = {"allowed_origins": (f"{PAGE}/",)}


async def test_without_a_list_every_page_is_allowed() -> None:
    async with running_api() as api:
        answer = await api.ask("/api/sessions", headers=header() | {"Origin": PAGE})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_listed_page_may_read_answers_and_errors() -> None:
    async with running_api(**ALLOWED) as api:
        for headers in (header(), {}):
            answer = await api.ask("/api/sessions", headers=headers | {"Origin": PAGE})
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
            assert answer.headers["Vary"] == "Origin"


async def test_another_page_is_refused() -> None:
    async with running_api(**ALLOWED) as api:
        headers = header() | {"Origin": "https://elsewhere.example.org"}
        answer = await api.ask("/api/sessions", headers=headers)
        assert answer.error == (403, "origin_refused")
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await api.ask("/api/sessions")).status == 200, (
            "a client without an Origin is no page"
        )


async def test_a_refused_origin_ends_the_handshake_with_403() -> None:
    async with running_api(**ALLOWED) as api:
        with api.feeds.directory.track(FakeCall()):
            upgrade = {"Upgrade": "websocket", "Connection": "upgrade", "Origin": "https://x.org"}
            answer = await api.ask(FEED, headers=header() | upgrade)
            assert answer.error == (403, "origin_refused")


async def test_a_preflight_request() -> None:
    async with running_api(**ALLOWED) as api:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
        answer = await api.ask(FEED, "OPTIONS", headers=asked)
        assert (answer.status, answer.text) == (204, "")
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        foreign = asked | {"Origin": "https://x.org"}
        assert (await api.ask(FEED, "OPTIONS", headers=foreign)).status == 403


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/sessions/", "/api/sessions/a/b"])
async def test_an_unknown_address_is_a_404_with_the_apis_own_body(path: str) -> None:
    async with running_api() as api:
        assert (await api.ask(path)).error == (404, "not_found")


async def test_another_method_is_a_405_that_names_the_allowed_ones() -> None:
    async with running_api() as api:
        answer = await api.ask("/api/sessions", "DELETE")
        assert answer.error == (405, "wrong_method")
        assert answer.headers["Allow"] == "GET,HEAD"


async def test_a_fault_is_logged_and_its_text_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeCall):
        def status(self) -> SessionStatus:
            raise RuntimeError("the meter is stuck")

    async with running_api() as api:
        call = Broken()
        with api.feeds.directory.track(call):
            answer = await api.ask("/api/sessions")
            assert answer.error == (500, "failed")
            Broken.status = FakeCall.status  # type: ignore[method-assign]
    assert "the meter is stuck" not in answer.text
    assert "the meter is stuck" in caplog.text


async def test_no_answer_is_cached() -> None:
    async with running_api() as api:
        answer = await api.ask("/api/sessions")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "relay"

import pytest

from tests.feed.calls import FakeCall
from tests.http.api.desk import FEED, desk, header

PAGE = "https://coach.example.org"
ALLOWED = {"allowed_origins": (f"{PAGE}/",)}


async def test_where_every_page_is_let_in() -> None:
    async with desk() as here:
        answer = await here.ask("/api/sessions", headers=header() | {"Origin": PAGE})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_listed_page_may_read_the_answer_and_the_refusal() -> None:
    async with desk(**ALLOWED) as here:
        for headers in (header(), {}):
            answer = await here.ask("/api/sessions", headers=headers | {"Origin": PAGE})
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
            assert answer.headers["Vary"] == "Origin"


async def test_another_page_may_not() -> None:
    async with desk(**ALLOWED) as here:
        headers = header() | {"Origin": "https://elsewhere.example.org"}
        answer = await here.ask("/api/sessions", headers=headers)
        assert answer.refusal == (403, "origin_refused")
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await here.ask("/api/sessions")).status == 200, "who is no page has no origin"


async def test_a_refused_origin_ends_the_handshake_with_403() -> None:
    async with desk(**ALLOWED) as here:
        with here.house.hub.live(FakeCall()):
            upgrade = {"Upgrade": "websocket", "Connection": "upgrade", "Origin": "https://x.org"}
            answer = await here.ask(FEED, headers=header() | upgrade)
            assert answer.refusal == (403, "origin_refused")


async def test_a_browser_may_ask_first() -> None:
    async with desk(**ALLOWED) as here:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
        answer = await here.ask(FEED, "OPTIONS", headers=asked)
        assert (answer.status, answer.text) == (204, "")
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        foreign = asked | {"Origin": "https://x.org"}
        assert (await here.ask(FEED, "OPTIONS", headers=foreign)).status == 403


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/sessions/", "/api/sessions/a/b"])
async def test_an_unknown_address_is_a_404_in_the_apis_own_words(path: str) -> None:
    async with desk() as here:
        assert (await here.ask(path)).refusal == (404, "not_found")


async def test_another_method_is_a_405_that_names_the_right_ones() -> None:
    async with desk() as here:
        answer = await here.ask("/api/sessions", "DELETE")
        assert answer.refusal == (405, "wrong_method")
        assert answer.headers["Allow"] == "GET,HEAD"


async def test_a_fault_of_ours_tells_the_caller_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeCall):
        def micro(self) -> int:
            raise RuntimeError("the till is stuck")

    async with desk() as here:
        call = Broken()
        with here.house.hub.live(call):
            answer = await here.ask("/api/sessions")
            assert answer.refusal == (500, "failed")
            Broken.micro = FakeCall.micro  # type: ignore[method-assign,assignment]
    assert "the till is stuck" not in answer.text
    assert "the till is stuck" in caplog.text


async def test_no_answer_is_kept_by_anybody() -> None:
    async with desk() as here:
        answer = await here.ask("/api/sessions")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "relay"

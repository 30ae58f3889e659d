from relay.http.api.api import PREFIX, Api, application
from tests.feed.calls import House
from tests.http.api.desk import Assignments, Shelf, desk, header, verify
from tests.http.listener import ask, listening


def test_the_service_key_is_not_shown_by_accident() -> None:
    told = House().hub, verify, Assignments(), lambda: 0.0, Shelf().archive()
    api = Api(*told, service_key="sb_secret_1")
    assert "sb_secret_1" not in repr(api)
    assert application(api).middlewares


async def test_where_nobody_watches_there_is_no_api() -> None:
    async with listening() as server:
        answer = await ask(server, f"{PREFIX}/sessions", headers=header())
    assert (answer.status, answer.body) == (404, "")


async def test_beside_the_api_everything_is_as_it_was() -> None:
    async with desk() as here:
        assert (await here.ask("/health")).json["status"] == "healthy"
        assert (await here.ask("/nothing")).text == ""
        assert (await here.ask(PREFIX)).status == 404

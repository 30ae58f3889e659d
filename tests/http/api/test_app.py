from relay.clock import MachineClock
from relay.http.api.app import PREFIX, ApiServices, create_api
from tests.feed.calls import HubWithDisk
from tests.http.api.running_api import FakeArchive, FakeAssignments, header, running_api, verify
from tests.http.listener import ask, listening


def test_the_service_key_is_not_in_the_repr() -> None:
    feeds, archive = HubWithDisk(), FakeArchive().services()
    given = feeds.directory, feeds.hub, verify, FakeAssignments(), MachineClock(), archive
    services = ApiServices(*given, service_key="sb_secret_1")
    assert "sb_secret_1" not in repr(services)
    assert create_api(services).middlewares


async def test_a_listener_without_the_api() -> None:
    async with listening() as server:
        answer = await ask(server, f"{PREFIX}/sessions", headers=header())
    assert (answer.status, answer.body) == (404, "")


async def test_the_other_addresses_beside_the_api() -> None:
    async with running_api() as api:
        assert (await api.ask("/health")).json["status"] == "healthy"
        assert (await api.ask("/nothing")).text == ""
        assert (await api.ask(PREFIX)).status == 404

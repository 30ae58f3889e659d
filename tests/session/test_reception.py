"""From the door to the end: who is counted, who is turned away, and how."""

import json

import pytest

from relay.interfaces import Admission
from relay.metrics import Metrics
from relay.realtime import endings
from relay.realtime.endings import Ending, Refused
from relay.realtime.first_update import openai_update
from relay.realtime.grant import Caller, Grant
from relay.realtime.view import GaView, View
from relay.session.reception import House, Reception, Rules
from relay.session.registry import Registry
from relay.session.seats import Surroundings
from relay.wire.fake import FakePeer
from relay.wire.handshake import Handshake
from tests.doors.knock import knock
from tests.session.fakes import CALLER, CREATED, FakeClock, FakeEngine, FakeJournal, settle

CONVERSATION = "6f9f0c3e-0000-4000-8000-00000000000c"


class FakeDoor:
    name = "fake"

    def __init__(self, outcome: Ending | Exception | None = None) -> None:
        self.outcome = outcome

    def answers(self, path: str) -> bool:
        return True

    def view(self, handshake: Handshake) -> View:
        return GaView()

    async def admit(self, handshake: Handshake) -> Admission:
        if isinstance(self.outcome, Ending):
            raise Refused(self.outcome)
        if self.outcome is not None:
            raise self.outcome
        given = handshake.parameter("conversation_id")
        grant = Grant(caller=CALLER, agent_id="a1", model="m", conversation_id=given)
        return Admission(grant, self.view(handshake), openai_update(grant, {"model": "w"}), False)


class Lobby:
    """A reception with one door and one engine."""

    def __init__(self, door: FakeDoor | None = None, owner: str | None = None) -> None:
        self.engine, self.metrics, self.journal = FakePeer(), Metrics(), FakeJournal()
        self.registry = Registry(2, 1)
        shared = Surroundings(FakeEngine(self.engine), self.metrics, FakeClock(), self._verify)
        self._owner = owner
        house = House((door or FakeDoor(),), self.registry, shared, self.journal, self._owned)
        self.reception = Reception(house, Rules(10.0, 1800.0, 300.0, {"model": "w"}))

    async def _owned(self, conversation_id: str) -> str | None:
        return self._owner

    async def _verify(self, token: str) -> Caller:
        return CALLER

    async def call(self, **query: str) -> FakePeer:
        client = FakePeer()
        self.reception.receive(client, knock(**query))
        await settle()
        return client


async def test_a_caller_is_counted_until_both_sides_are_closed() -> None:
    lobby = Lobby()
    client = await lobby.call()
    lobby.engine.arrive(CREATED)
    assert lobby.registry.active == 1
    client.leave(1000)
    await settle()
    assert lobby.registry.active == 0
    text = lobby.metrics.render().decode()
    assert 'relay_sessions_ended_total{door="fake",ending="client_left"} 1.0' in text


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (endings.FORBIDDEN, 4003),
        (endings.UNAUTHORIZED, 3000),
        (ValueError("the token was eyJ-secret"), 1011),
    ],
)
async def test_S3_10_who_is_refused_is_told_and_not_kept(
    outcome: Ending | Exception, code: int
) -> None:
    lobby = Lobby(FakeDoor(outcome))
    client = await lobby.call()
    assert client.close_sent is not None
    assert client.close_sent[0] == code
    assert "secret" not in "".join(frame.decode() for frame in client.sent)
    assert lobby.registry.active == 0
    assert lobby.engine.close_sent is None, "no engine was opened"


async def test_a_user_may_have_only_so_many() -> None:
    lobby = Lobby()
    await lobby.call()
    second = await lobby.call()
    assert second.close_sent == (4029, "Too many sessions")
    assert lobby.registry.active == 1
    lobby.registry.end_all(endings.IDLE)
    await settle()


async def test_a_full_house_turns_away_before_it_asks_who_it_is() -> None:
    door = FakeDoor()
    lobby = Lobby(door)
    with lobby.registry.place(), lobby.registry.place():
        door.outcome = endings.UNAUTHORIZED
        client = await lobby.call()
        assert client.close_sent == (1013, "Server at capacity")
        assert json.loads(client.sent[0])["error"]["code"] == "at_capacity"


@pytest.mark.parametrize(("owner", "refused"), [(None, False), ("u1", False), ("eve", True)])
async def test_a_conversation_is_its_owners(owner: str | None, refused: bool) -> None:
    lobby = Lobby(owner=owner)
    client = await lobby.call(conversation_id=CONVERSATION)
    assert (client.close_sent == (4003, "Forbidden")) is refused
    lobby.registry.end_all(endings.IDLE)
    await settle()


async def test_S3_63_draining_waits_and_then_says_service_restart() -> None:
    lobby = Lobby()
    client = await lobby.call()
    lobby.engine.arrive(CREATED)
    await lobby.reception.drain(0.01)
    await settle()
    assert client.close_sent == (1012, "Service restart")
    await lobby.reception.aclose()
    assert lobby.registry.active == 0

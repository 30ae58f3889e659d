"""From the door to the end: who is counted, who is turned away, and how."""

import json

import pytest

from relay.interfaces import Admission, ConnectRequest, ConversationHistory
from relay.metrics import Metrics
from relay.realtime import endings
from relay.realtime.billing.pricing import Prices
from relay.realtime.dialects.client import ClientDialect, GaDialect
from relay.realtime.endings import Ending, SessionRefused
from relay.realtime.grant import Bounds, Grant
from relay.realtime.opening import openai_session_update
from relay.realtime.records import Record, SessionRecord
from relay.session.billing import BudgetService
from relay.session.directory import MemorySessionDirectory
from relay.session.server import SessionServer
from tests.doors.requests import asking
from tests.fake_connection import FakePeer
from tests.session.fakes import (
    CALLER,
    CREATED,
    LIMITS,
    FakeEngine,
    FakeJournal,
    FakePast,
    services,
    settle,
)
from tests.stores.words import Call

NO_BOUNDS = Bounds()
CONVERSATION = "6f9f0c3e-0000-4000-8000-00000000000c"


class FakeDoor:
    name = "fake"

    def __init__(
        self, outcome: Ending | Exception | None = None, bounds: Bounds = NO_BOUNDS
    ) -> None:
        self.outcome = outcome
        self.bounds = bounds

    def matches(self, request: ConnectRequest) -> bool:
        return True

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        return GaDialect()

    async def admit(self, request: ConnectRequest) -> Admission:
        if isinstance(self.outcome, Ending):
            raise SessionRefused(self.outcome)
        if self.outcome is not None:
            raise self.outcome
        given = request.parameter("conversation_id")
        grant = Grant(
            caller=CALLER,
            agent_id="a1",
            model="gpt-realtime",
            conversation_id=given,
            bounds=self.bounds,
        )
        return Admission(
            grant, self.dialect(request), openai_session_update(grant, {"model": "w"}), False
        )


class Lobby:
    """A reception with one door and one engine."""

    def __init__(
        self, door: FakeDoor | None = None, owner: str | None = None, *said: Record
    ) -> None:
        self.engine, self.metrics, self.journal = FakePeer(), Metrics(), FakeJournal()
        self.directory = MemorySessionDirectory(2, 1)
        self.past = FakePast(ConversationHistory(owner, said))
        shared = services(
            engine=FakeEngine(self.engine),
            metrics=self.metrics,
            directory=self.directory,
            journal=self.journal,
            history=self.past,
            budgets=BudgetService(Prices(), self.past.spent),
        )
        self.reception = SessionServer((door or FakeDoor(),), shared, LIMITS)

    async def call(self, **query: str) -> FakePeer:
        client = FakePeer()
        self.reception.receive(client, asking(**query))
        await settle()
        return client


async def test_a_caller_is_counted_until_both_sides_are_closed() -> None:
    lobby = Lobby()
    client = await lobby.call()
    lobby.engine.arrive(CREATED)
    assert lobby.directory.active == 1
    client.leave(1000)
    await settle()
    assert lobby.directory.active == 0
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
    assert lobby.directory.active == 0
    assert lobby.engine.close_sent is None, "no engine was opened"


async def test_a_user_may_have_only_so_many() -> None:
    lobby = Lobby()
    await lobby.call()
    second = await lobby.call()
    assert second.close_sent == (4029, "Too many sessions")
    assert lobby.directory.active == 1
    lobby.directory.end_all(endings.IDLE)
    await settle()


async def test_a_full_house_turns_away_before_it_asks_who_it_is() -> None:
    door = FakeDoor()
    lobby = Lobby(door)
    async with lobby.directory.acquire(), lobby.directory.acquire():
        door.outcome = endings.UNAUTHORIZED
        client = await lobby.call()
        assert client.close_sent == (1013, "Server at capacity")
        assert json.loads(client.sent[0])["error"]["code"] == "at_capacity"


@pytest.mark.parametrize(("owner", "refused"), [(None, False), ("u1", False), ("eve", True)])
async def test_a_conversation_is_its_owners(owner: str | None, refused: bool) -> None:
    lobby = Lobby(owner=owner)
    client = await lobby.call(conversation_id=CONVERSATION)
    assert (client.close_sent == (4003, "Forbidden")) is refused
    lobby.directory.end_all(endings.IDLE)
    await settle()


async def test_S3_63_draining_waits_and_then_says_service_restart() -> None:
    lobby = Lobby()
    client = await lobby.call()
    lobby.engine.arrive(CREATED)
    await lobby.reception.drain(0.01)
    await settle()
    assert client.close_sent == (1012, "Service restart")
    await lobby.reception.aclose()
    assert lobby.directory.active == 0


async def test_S3_52_the_engine_is_told_what_was_said_before_and_the_client_is_not() -> None:
    said = Call().user("My name is Ada.")
    lobby = Lobby(None, "u1", said)
    client = await lobby.call(conversation_id=CONVERSATION)
    lobby.engine.arrive(CREATED)
    update, item = (json.loads(frame) for frame in lobby.engine.sent)
    assert update["type"] == "session.update"
    assert item["item"]["content"][0]["text"] == "My name is Ada."
    lobby.engine.arrive(
        f'{{"type":"conversation.item.added","previous_item_id":null,"item":{json.dumps(item["item"])}}}'
    )
    assert [json.loads(frame)["type"] for frame in client.sent] == ["session.created"]
    lobby.directory.end_all(endings.IDLE)
    await settle()
    assert lobby.journal.records == [], "it is in the store already"


async def test_a_call_is_journalled_from_its_beginning_to_its_end() -> None:
    lobby = Lobby()
    client = await lobby.call()
    assert lobby.journal.others == []
    lobby.engine.arrive(CREATED)
    client.leave(1000)
    await settle()
    began, ended = lobby.journal.others
    assert isinstance(began, SessionRecord)
    assert isinstance(ended, SessionRecord)
    assert (began.seq, began.ending, began.door, began.engine) == (1, None, "fake", "fake")
    assert (ended.seq, ended.ending, ended.id) == (2, "client_left", began.id)


async def test_who_has_spent_it_all_is_turned_away_with_4008() -> None:
    lobby = Lobby(FakeDoor(bounds=Bounds(user_budget_micro=1_000_000)))
    lobby.past.spent_today = 990_000
    client = await lobby.call()
    assert client.close_sent == (4008, "Budget exhausted")
    assert json.loads(client.sent[0])["error"]["code"] == "budget_exhausted"


async def test_two_calls_of_one_user_cannot_both_have_the_last_cents() -> None:
    lobby = Lobby(FakeDoor(bounds=Bounds(user_budget_micro=30_000)))
    lobby.directory._max_per_user = 0
    first = await lobby.call()
    second = await lobby.call()
    assert first.close_sent is None
    assert second.close_sent == (4008, "Budget exhausted")
    first.leave(1000)
    await settle()
    third = await lobby.call()
    assert third.close_sent is None, "what the first held is free again"
    lobby.directory.end_all(endings.IDLE)
    await settle()

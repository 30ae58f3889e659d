"""From accepting a client to the end of its session: admission, limits, refusals, draining."""

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
import structlog

from relay.admission.addresses import AddressLimits, ConnectRates
from relay.admission.reconnects import FAILURES
from relay.auth.jwks import KeySetUnavailable, KeyUnknownYet
from relay.interfaces import Admission, ConnectRequest, ConversationHistory, EngineCapabilities
from relay.metrics import Metrics
from relay.realtime import endings
from relay.realtime.billing.pricing import Prices
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.endings import IDLE, SESSION_TIME_LIMIT, Ending, SessionRefused
from relay.realtime.grant import Bounds, Caller, Grant, Role
from relay.realtime.opening import browser_session_update, granted_session_update
from relay.realtime.records import Record, SessionRecord
from relay.session.billing import BudgetService
from relay.session.directory import MemorySessionDirectory
from relay.session.server import DATE_STEP, SessionServer, create_session, session_setup
from relay.session.session import Session, SessionContext
from tests.doors.requests import asking
from tests.fake_connection import FakePeer
from tests.realtime import wire_events as wire
from tests.session.fakes import (
    CALLER,
    CREATED,
    LIMITS,
    SESSION,
    TRANSCRIPTION,
    FakeClock,
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
        self.role: Role = "learner"
        self.answers = asyncio.Event()  # whoever looks the token up
        self.answers.set()

    def matches(self, request: ConnectRequest) -> bool:
        return True

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        return GaDialect()

    async def authenticate(self, request: ConnectRequest) -> Caller:
        await self.answers.wait()
        if self.outcome == endings.UNAUTHORIZED:
            raise SessionRefused(endings.UNAUTHORIZED)
        if isinstance(self.outcome, KeySetUnavailable):
            raise SessionRefused(endings.AUTH_UNAVAILABLE) from self.outcome
        return replace(CALLER, role=self.role)

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        if isinstance(self.outcome, Ending):
            raise SessionRefused(self.outcome)
        if self.outcome is not None:
            raise self.outcome
        given = request.parameter("conversation_id")
        grant = Grant(
            caller=caller,
            agent_id="a1",
            model="gpt-realtime",
            conversation_id=given,
            bounds=self.bounds,
        )
        return Admission(
            grant, self.dialect(request), granted_session_update(grant, {"model": "w"}), False
        )


class Server:
    """A session server with one door and one engine."""

    def __init__(
        self, door: FakeDoor | None = None, owner: str | None = None, *said: Record
    ) -> None:
        self.engine, self.metrics, self.journal = FakePeer(), Metrics(), FakeJournal()
        self.directory = MemorySessionDirectory(2, 1)
        self.past = FakePast(ConversationHistory(owner, said))
        self.clock = FakeClock()
        self.addresses = AddressLimits()
        self.let_in = 0
        engine = self.opener = FakeEngine(self.engine)
        shared = services(
            engine=engine,
            clock=self.clock,
            metrics=self.metrics,
            directory=self.directory,
            journal=self.journal,
            history=self.past,
            budgets=BudgetService(Prices(), self.past.spent, engine),
            addresses=self.addresses,
        )
        self.server = SessionServer((door or FakeDoor(),), shared, LIMITS)

    async def call(self, **query: str) -> FakePeer:
        client = FakePeer()
        self.server.receive(client, replace(asking(**query), let_in=self._count))
        await settle()
        return client

    def _count(self) -> None:
        self.let_in += 1


async def test_a_caller_is_counted_until_both_sides_are_closed() -> None:
    here = Server()
    client = await here.call()
    here.engine.arrive(CREATED)
    assert here.directory.active == 1
    client.leave(1000)
    await settle()
    assert here.directory.active == 0
    text = here.metrics.render().decode()
    assert 'relay_sessions_ended_total{door="fake",ending="client_left"} 1.0' in text


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (endings.FORBIDDEN, 4003),
        (endings.UNAUTHORIZED, 3000),
        (ValueError("the token was eyJ-secret"), 1011),
    ],
)
async def test_S3_10_a_refused_client_is_told_and_released(
    outcome: Ending | Exception, code: int
) -> None:
    here = Server(FakeDoor(outcome))
    client = await here.call()
    assert client.close_sent is not None
    assert client.close_sent[0] == code
    assert "secret" not in "".join(frame.decode() for frame in client.sent)
    assert here.directory.active == 0
    assert here.engine.close_sent is None, "no engine was opened"


async def test_a_user_may_have_only_so_many() -> None:
    here = Server()
    await here.call()
    second = await here.call()
    assert second.close_sent == (4029, "Too many sessions")
    assert here.directory.active == 1
    here.directory.end_all(endings.IDLE)
    await settle()


@pytest.mark.parametrize("role", ["coach", "admin"])
async def test_coaches_and_admins_may_have_as_many_as_they_like(role: Role) -> None:
    door = FakeDoor()
    door.role = role
    here = Server(door)
    await here.call()
    second = await here.call()
    assert second.close_sent is None
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_at_capacity_a_client_is_refused_before_it_is_authenticated() -> None:
    door = FakeDoor()
    door.answers.clear()
    here = Server(door)
    async with here.directory.acquire(), here.directory.acquire():
        client = await here.call()
        assert client.close_sent == (1013, "Server at capacity")
        assert json.loads(client.sent[0])["error"]["code"] == "at_capacity"
        assert here.let_in == 0


async def test_in_a_full_house_a_session_may_follow_another_in_its_place() -> None:
    """Also while memory is short: as much is free afterwards as before."""
    here = Server()
    old = await here.call(conversation_id=CONVERSATION)
    here.directory.max_connections, here.directory._has_room = 1, lambda: False
    elsewhere = await here.call(conversation_id=str(uuid.uuid4()))
    assert elsewhere.close_sent == (1013, "Server at capacity")
    assert old.close_sent is None
    new = await here.call(conversation_id=CONVERSATION)
    assert old.close_sent == (4009, "Replaced")
    assert here.let_in == 2
    assert new.close_sent != (1013, "Server at capacity")
    assert here.directory.active == 1
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_who_is_refused_for_another_reason_ends_no_session_of_theirs() -> None:
    door = FakeDoor()
    here = Server(door)
    old = await here.call(conversation_id=CONVERSATION)
    door.outcome = endings.FORBIDDEN
    assert (await here.call(conversation_id=CONVERSATION)).close_sent == (4003, "Forbidden")
    door.outcome = None
    here.addresses._connects = ConnectRates(1)
    here.addresses.connected("127.0.0.1", asyncio.get_running_loop().time())
    refused = await here.call(conversation_id=CONVERSATION)
    assert refused.close_sent == (4029, "Too many requests")
    assert old.close_sent is None
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_the_last_place_goes_to_who_is_authenticated_first() -> None:
    door = FakeDoor()
    door.answers.clear()
    here = Server(door)
    clients = [await here.call() for _ in range(3)]
    here.directory._max_per_user = 0
    door.answers.set()
    await settle()
    assert [client.close_sent for client in clients] == [None, None, (1013, "Server at capacity")]
    assert here.let_in == 2
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_strangers_take_no_place_of_callers() -> None:
    door = FakeDoor()
    here = Server(door)
    door.answers.clear()
    strangers = [await here.call() for _ in range(5)]
    assert here.directory.active == 0, "though there are places for two"
    door.outcome = endings.UNAUTHORIZED
    door.answers.set()
    await settle()
    assert {stranger.close_sent for stranger in strangers} == {
        (3000, "invalid_request_error.invalid_api_key")
    }
    assert here.let_in == 0
    door.outcome = None
    caller = await here.call()
    assert (caller.close_sent, here.let_in, here.directory.active) == (None, 1, 1)
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_a_token_that_nobody_looks_up_is_waited_for_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.session.server.TOKEN_SECONDS", 0.0)
    door = FakeDoor()
    here = Server(door)
    door.answers.clear()
    client = await here.call()
    async with asyncio.timeout(30):
        while client.close_sent is None:
            await settle()
    assert client.close_sent == (1013, "Authentication unavailable")


async def test_an_address_may_have_only_so_many_sessions_at_once() -> None:
    here = Server()
    here.addresses._most = 1
    first = await here.call()
    second = await here.call()
    assert second.close_sent == (4029, "Too many sessions")
    assert json.loads(second.sent[0])["error"]["code"] == "too_many_from_address"
    assert here.directory.active == 1
    first.leave(1000)
    await settle()
    third = await here.call()
    assert third.close_sent is None
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_who_shows_no_valid_token_again_and_again_is_told_to_wait() -> None:
    door = FakeDoor()
    here = Server(door)
    here.addresses._failures = ConnectRates(2)
    door.outcome = endings.UNAUTHORIZED
    codes = [(await here.call()).close_sent for _ in range(3)]
    assert [code for code, _ in filter(None, codes)] == [3000, 3000, 4029]
    door.outcome = None
    caller = await here.call()
    assert caller.close_sent is None, "whose token is valid is let in, at the same address"
    here.directory.end_all(endings.IDLE)
    await settle()


@pytest.mark.parametrize(
    ("cause", "codes"),
    [(KeyUnknownYet("new"), [1013, 1013, 4029]), (KeySetUnavailable("down"), [1013] * 3)],
    ids=["unknown key", "no key set"],
)
async def test_who_invents_keys_again_and_again_is_told_to_wait(
    cause: KeySetUnavailable, codes: list[int]
) -> None:
    here = Server(FakeDoor(cause))
    here.addresses._failures = ConnectRates(2)
    closes = [(await here.call()).close_sent for _ in codes]
    assert [code for code, _ in filter(None, closes)] == codes


async def test_the_callers_address_is_on_every_line_of_their_call() -> None:
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        here = Server(FakeDoor(endings.UNAUTHORIZED))
        await here.call()
    assert [line["client"] for line in lines] == ["127.0.0.1"] * len(lines)
    assert lines


@pytest.mark.parametrize(("owner", "refused"), [(None, False), ("u1", False), ("eve", True)])
async def test_a_conversation_is_its_owners(owner: str | None, refused: bool) -> None:
    here = Server(owner=owner)
    client = await here.call(conversation_id=CONVERSATION)
    assert (client.close_sent == (4003, "Forbidden")) is refused
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_S3_63_draining_waits_and_then_says_service_restart() -> None:
    here = Server()
    client = await here.call()
    here.engine.arrive(CREATED)
    await here.server.drain(0.01)
    await settle()
    assert client.close_sent == (1012, "Service restart")
    await here.server.aclose()
    assert here.directory.active == 0


async def test_S3_52_the_engine_is_told_what_was_said_before_and_the_client_is_not() -> None:
    said = Call().user("My name is Ada.")
    here = Server(None, "u1", said)
    client = await here.call(conversation_id=CONVERSATION)
    here.engine.arrive(CREATED)
    update, item = (json.loads(frame) for frame in here.engine.sent)
    assert update["type"] == "session.update"
    assert item["item"]["content"][0]["text"] == "My name is Ada."
    here.engine.arrive(
        f'{{"type":"conversation.item.added","previous_item_id":null,"item":{json.dumps(item["item"])}}}'
    )
    assert [json.loads(frame)["type"] for frame in client.sent] == ["session.created"]
    here.directory.end_all(endings.IDLE)
    await settle()
    assert here.journal.records == [], "it is in the store already"


async def test_a_call_is_journalled_from_its_beginning_to_its_end() -> None:
    here = Server()
    client = await here.call()
    assert here.journal.others == []
    here.engine.arrive(CREATED)
    client.leave(1000)
    await settle()
    began, ended = here.journal.others
    assert isinstance(began, SessionRecord)
    assert isinstance(ended, SessionRecord)
    assert (began.seq, began.ending, began.door, began.engine) == (1, None, "fake", "fake")
    assert (ended.seq, ended.ending, ended.id) == (2, "client_left", began.id)


async def test_a_user_whose_budget_is_spent_is_refused_with_4008() -> None:
    here = Server(FakeDoor(bounds=Bounds(user_budget_micro=1_000_000)))
    here.past.spent_today = 990_000
    client = await here.call()
    assert client.close_sent == (4008, "Budget exhausted")
    assert json.loads(client.sent[0])["error"]["code"] == "insufficient_quota"


async def test_two_sessions_of_one_user_cannot_both_have_the_last_cents() -> None:
    here = Server(FakeDoor(bounds=Bounds(user_budget_micro=30_000)))
    here.directory._max_per_user = 0
    first = await here.call()
    second = await here.call()
    assert first.close_sent is None
    assert second.close_sent == (4008, "Budget exhausted")
    first.leave(1000)
    await settle()
    third = await here.call()
    assert third.close_sent is None, "what the first held is free again"
    here.directory.end_all(endings.IDLE)
    await settle()


@pytest.mark.parametrize("code", ["insufficient_quota", "server_error"])
async def test_who_dials_on_after_the_engines_refusals_is_braked_and_calls_it_no_more(
    code: str,
) -> None:
    here = Server()
    for _ in range(FAILURES):
        here.opener.outcome = refusing = FakePeer()
        client = await here.call()
        refusing.arrive(json.dumps({"type": "error", "error": {"code": code, "message": "No."}}))
        refusing.leave(1000)
        await settle()
        told = json.loads(client.sent[-1])["error"]["code"]
        assert told == (code if code == "insufficient_quota" else "engine_closed")
        assert client.close_sent == (1011, "OpenAI connection closed")
    braked = await here.call()
    error = json.loads(braked.sent[0])["error"]
    assert error["code"] == "too_many_reconnects"
    assert braked.close_sent == (4029, "Too many requests")
    assert 0 < error["retry_after_ms"] <= 4000
    assert len(here.opener.calls) == FAILURES, "the engine was not called for them"
    assert here.let_in == FAILURES, "they had no place"
    other = await here.call(agent_id="another")
    assert other.close_sent is None, "who asks for something else is not braked"
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_a_call_in_which_the_model_answered_takes_the_brake_off() -> None:
    here = Server()

    async def fails(times: int) -> None:
        for _ in range(times):
            here.opener.outcome = refusing = FakePeer()
            await here.call()
            refusing.leave(1000)
            await settle()

    await fails(FAILURES - 1)
    here.opener.outcome = engine = FakePeer()
    client = await here.call()
    engine.arrive(CREATED)
    for event in wire.answer("A1", "Hello.", None):
        engine.arrive(json.dumps(event))
    client.leave(1000)
    await settle()
    await fails(FAILURES)
    braked = await here.call()
    assert json.loads(braked.sent[0])["error"]["code"] == "too_many_reconnects"
    assert len(here.opener.calls) == 2 * FAILURES


async def test_a_refused_caller_is_braked_without_using_up_the_places_of_their_address() -> None:
    door = FakeDoor(endings.FORBIDDEN)
    here = Server(door)
    here.addresses.__init__(per_minute=FAILURES + 1)  # type: ignore[misc]
    refused = [await here.call() for _ in range(30)]
    codes = [client.close_sent[0] for client in refused if client.close_sent]
    assert codes == [4003] * FAILURES + [4029] * (30 - FAILURES)
    door.outcome = None
    other = await here.call(agent_id="another")
    assert other.close_sent is None
    here.directory.end_all(endings.IDLE)
    await settle()


async def test_calls_that_are_had_brake_nobody_however_fast_they_follow_one_another() -> None:
    here = Server()
    for _ in range(4 * FAILURES):
        here.opener.outcome = engine = FakePeer()
        client = await here.call()
        engine.arrive(CREATED)
        client.leave(1000)
        await settle()
        assert client.close_sent is None or client.close_sent[0] != 4029
    assert len(here.opener.calls) == 4 * FAILURES


class Created:
    """A session, and the fakes it was created with."""

    def __init__(self, **granted: Any) -> None:
        self.clock, self.journal = FakeClock(), FakeJournal()
        self.shown: list[Any] = []
        given_services = services(clock=self.clock, journal=self.journal, show=self.shown.extend)
        grant = Grant(caller=CALLER, agent_id="a1", model="m", **granted)
        update = browser_session_update(grant, TRANSCRIPTION, "verse")
        admission = Admission(grant, BrowserDialect(), update, True, truncates=True)
        setup = session_setup(given_services, SESSION, admission, ConversationHistory())
        context = SessionContext(FakePeer(), self.clock)
        self.session: Session = create_session(given_services, LIMITS, setup, context)


async def test_the_tighter_limit_counts_the_servers_or_the_agents() -> None:
    tight = Created(bounds=Bounds(session_seconds=60, idle_seconds=900)).session.core
    tight.deadlines.engine_ready()
    assert tight.deadlines.ending(1059.0) is None
    assert tight.deadlines.ending(1060.0) == SESSION_TIME_LIMIT
    wide = Created(bounds=Bounds(session_seconds=9000, idle_seconds=900)).session.core
    wide.deadlines.engine_ready()
    assert wide.deadlines.ending(1299.0) is None
    assert wide.deadlines.ending(1300.0) == IDLE


@pytest.mark.parametrize("takes", [True, False])
async def test_an_engine_that_takes_truncations_is_told_what_was_heard(takes: bool) -> None:
    capable = EngineCapabilities(billed=False, truncation=takes)
    given_services = services(engine=FakeEngine(FakePeer(), capable))
    grant = Grant(caller=CALLER, agent_id="a1")
    update = browser_session_update(grant, TRANSCRIPTION, "verse")
    admission = Admission(grant, BrowserDialect(), update, True, truncates=True)
    assert (
        session_setup(given_services, SESSION, admission, ConversationHistory()).truncates is takes
    )


@pytest.mark.parametrize("billed", [True, False])
async def test_only_an_engine_that_bills_its_sessions_has_prices(billed: bool) -> None:
    engine = FakeEngine(FakePeer(), EngineCapabilities(billed=billed))
    admission = Admission(Grant(caller=CALLER, agent_id="a1"), BrowserDialect(), {}, True)
    setup = session_setup(services(engine=engine), SESSION, admission, ConversationHistory())
    assert (setup.prices is not None) is billed


async def test_records_carry_the_head_of_their_session() -> None:
    created = Created(conversation_id="c7")
    recorder = created.session._recorder
    recorder.began("browser", "offline")
    await settle()
    (began,) = created.journal.others
    head = began.head
    assert (head.session_id, head.conversation_id, head.user_id) == (SESSION, "c7", "u1")
    assert (head.agent_id, head.model, head.voice, head.started_at) == ("a1", "m", "verse", 1000.0)


async def test_an_agent_may_have_no_words_stored() -> None:
    created = Created(store_text=False)
    recorder = created.session._recorder
    recorder.began("browser", "offline")
    recorder.utterance(Call().user("rhubarb").utterance)
    await settle()
    assert len(created.journal.others) == 1
    assert created.journal.records == []
    assert [record.utterance.text for record in created.shown] == ["rhubarb"]


async def test_a_new_conversation_gets_an_id_of_its_own() -> None:
    first, second = (Created().session._recorder for _ in range(2))
    ids = {recorder.head.conversation_id for recorder in (first, second)}
    assert len(ids) == 2
    assert all(uuid.UUID(one).version == 4 for one in ids)


@pytest.mark.parametrize("set_back", [0.0, 3600.0])
async def test_a_session_of_a_conversation_begins_after_all_that_was_said_in_it(
    set_back: float,
) -> None:
    before = Call().user("Good morning.")
    last = max(before.head.started_at, before.utterance.created_at)
    here = Server(None, "u1", before)
    here.clock.now = last + 60.0 - set_back
    await here.call(conversation_id=CONVERSATION)
    here.engine.arrive(CREATED)
    await settle()
    (began,) = [record for record in here.journal.others if isinstance(record, SessionRecord)]
    first = last + 60.0 if not set_back else last + DATE_STEP
    assert began.head.started_at == pytest.approx(first, abs=1e-5)
    here.directory.end_all(endings.IDLE)
    await settle()

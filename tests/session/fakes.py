"""Everything a session needs, without a socket, a disk or a clock."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from relay.clock import MachineClock
from relay.interfaces import Connection, ConversationHistory, EngineCapabilities, EngineRequest
from relay.metrics import Metrics
from relay.realtime.billing.pricing import Prices
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.dialects.client import GaDialect
from relay.realtime.endings import Ending, SessionRefused
from relay.realtime.grant import Caller, Grant
from relay.realtime.opening import SessionSetup, granted_session_update
from relay.realtime.records import AnyRecord, Record, SessionHead
from relay.session.billing import BudgetService
from relay.session.directory import MemorySessionDirectory
from relay.session.recorder import Recorder
from relay.session.session import Services, Session, SessionContext
from tests.fake_connection import FakePeer

CALLER = Caller(sub="u1", role="learner", expires_at=9e9)
CREATED = '{"type":"session.created","event_id":"e","session":{"id":"sess_1"}}'
BILLED = EngineCapabilities(billed=True)
TRANSCRIPTION = {"model": "w"}
LIMITS = SessionLimits(engine_seconds=10.0, session_seconds=1800.0, idle_seconds=300.0)
SESSION = "6f9f0c3e-0000-4000-8000-000000000001"
HEAD = SessionHead(
    session_id=SESSION,
    conversation_id="c1",
    user_id="u1",
    agent_id="a1",
    model="m",
    voice="alloy",
    started_at=0.0,
)


class FakeEngine:
    """Opens a fake peer, refuses, or never answers."""

    name = "fake"

    def __init__(
        self,
        outcome: Connection | Ending | Exception | None,
        capabilities: EngineCapabilities = BILLED,
    ) -> None:
        self.outcome = outcome
        self.capabilities = capabilities
        self.calls: list[EngineRequest] = []
        self.cancelled = False

    async def open(self, request: EngineRequest) -> Connection:
        self.calls.append(request)
        if isinstance(self.outcome, Ending):
            raise SessionRefused(self.outcome)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome is None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.cancelled = True
        assert self.outcome is not None
        return self.outcome

    async def aclose(self) -> None:
        pass


class FakeJournal:
    """Keeps records in lists: words in one, what a call was and used in the other."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.others: list[AnyRecord] = []

    def append(self, record: AnyRecord) -> None:
        if isinstance(record, Record):
            self.records.append(record)
        else:
            self.others.append(record)


class FakePast:
    """Knows one conversation, whatever its id, and what was spent."""

    def __init__(self, earlier: ConversationHistory) -> None:
        self.earlier = earlier
        self.spent_today: int | Exception = 0
        self.asked: list[tuple[int, str, str | None]] = []

    async def conversation(self, conversation_id: str) -> ConversationHistory:
        return self.earlier

    async def spent(self, day: int, agent_id: str, user_id: str | None) -> int:
        self.asked.append((day, agent_id, user_id))
        if isinstance(self.spent_today, Exception):
            raise self.spent_today
        return self.spent_today


class FakeClock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def verified(token: str) -> Caller:
    """Every token is the same caller's."""
    return CALLER


def services(**given: Any) -> Services:
    """What sessions share: `given`, and for the rest fakes that are good enough."""
    history, engine = FakePast(ConversationHistory()), FakeEngine(FakePeer())
    fakes: dict[str, Any] = {
        "engine": engine,
        "metrics": Metrics(),
        "clock": FakeClock(),
        "verify": verified,
        "directory": MemorySessionDirectory(2, 1),
        "journal": FakeJournal(),
        "history": history,
        "budgets": BudgetService(Prices(), history.spent, given.get("engine", engine)),
        "transcription": TRANSCRIPTION,
    }
    fakes |= given
    if not isinstance(fakes["clock"], MachineClock):
        fakes["clock"] = MachineClock(fakes["clock"], fakes["clock"])
    return Services(**fakes)


@dataclass
class Stage:
    """One session and everybody around it."""

    client: FakePeer = field(default_factory=FakePeer)
    engine: FakePeer = field(default_factory=FakePeer)
    journal: FakeJournal = field(default_factory=FakeJournal)
    clock: FakeClock = field(default_factory=FakeClock)
    unix: FakeClock | None = None  # the machine's clock, where it is another
    metrics: Metrics = field(default_factory=Metrics)
    opens: Any = "engine"
    relay_events: bool = False
    expires_at: float = 9e9
    verified: Any = CALLER

    def session(self) -> Session:
        grant = Grant(caller=CALLER, agent_id="a1", relay_events=self.relay_events)
        update = granted_session_update(grant, TRANSCRIPTION)
        setup = SessionSetup(
            SESSION, "c1", grant, GaDialect(), update, False, TRANSCRIPTION, prices=Prices()
        )
        limits = SessionLimits(10.0, 1800.0, 300.0, self.expires_at)
        opens = self.engine if self.opens == "engine" else self.opens
        self.opener = opens if isinstance(opens, FakeEngine) else FakeEngine(opens)
        return Session(
            SessionContext(self.client, self.clock),
            SessionCore(setup, Deadlines(limits, self.clock.now)),
            Recorder(self.journal, HEAD),
            services(
                engine=self.opener,
                metrics=self.metrics,
                clock=MachineClock(self.unix or self.clock, self.clock),
                verify=self.verify,
                journal=self.journal,
            ),
        )

    async def verify(self, token: str) -> Caller:
        if isinstance(self.verified, Ending):
            raise SessionRefused(self.verified)
        assert isinstance(self.verified, Caller)
        return self.verified

    def start(self) -> tuple[Session, "asyncio.Task[Ending]"]:
        session = self.session()
        return session, asyncio.ensure_future(session.run())

    def client_types(self) -> list[str]:
        return [json.loads(frame)["type"] for frame in self.client.sent]

    def engine_types(self) -> list[str]:
        return [json.loads(frame)["type"] for frame in self.engine.sent]


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)

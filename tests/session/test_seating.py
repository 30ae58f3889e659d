"""The session that a caller who was let in is given."""

import uuid
from typing import Any

from relay.interfaces import Admission, ConversationHistory
from relay.metrics import Metrics
from relay.realtime.billing.pricing import Prices
from relay.realtime.dialects.client import BrowserDialect
from relay.realtime.endings import IDLE, SESSION_TIME_LIMIT
from relay.realtime.grant import Bounds, Grant
from relay.realtime.opening import browser_session_update
from relay.session.billing import BudgetService
from relay.session.directory import SessionDirectory
from relay.session.server import (
    AdmittedCaller,
    PendingConnection,
    ServerContext,
    SessionDefaults,
    create_session,
)
from relay.session.session import Services, Session
from tests.doors.knock import knock
from tests.fake_connection import FakePeer
from tests.session.fakes import (
    CALLER,
    SESSION,
    FakeClock,
    FakeEngine,
    FakeJournal,
    FakePast,
    settle,
)
from tests.session.test_reception import FakeDoor
from tests.stores.words import Call

WHISPER = {"model": "w"}


class Seated:
    """A session, and the house it was made in."""

    def __init__(self, **granted: Any) -> None:
        self.clock, self.journal = FakeClock(), FakeJournal()
        self.shown: list[Any] = []
        shared = Services(FakeEngine(FakePeer()), Metrics(), self.clock, self._verify)
        past = FakePast(ConversationHistory())
        house = ServerContext(
            (FakeDoor(),),
            SessionDirectory(2, 1),
            shared,
            self.journal,
            past,
            BudgetService(Prices(), past.spent),
            SessionDefaults(10.0, 1800.0, 300.0, WHISPER),
            show=self.shown.extend,
        )
        grant = Grant(caller=CALLER, agent_id="a1", model="m", **granted)
        update = browser_session_update(grant, WHISPER, "verse")
        admission = Admission(grant, BrowserDialect(), update, True, truncates=True)
        arrival = PendingConnection(SESSION, FakePeer(), FakeDoor(), knock())
        self.session: Session = create_session(
            house, arrival, AdmittedCaller(admission, ConversationHistory(), None)
        )

    async def _verify(self, token: str) -> Any:
        return CALLER


async def test_the_tighter_bound_counts_the_houses_or_the_agents() -> None:
    tight = Seated(bounds=Bounds(session_seconds=60, idle_seconds=900)).session.conversation
    tight.deadlines.engine_ready()
    assert tight.deadlines.ending(1059.0) is None
    assert tight.deadlines.ending(1060.0) == SESSION_TIME_LIMIT
    wide = Seated(bounds=Bounds(session_seconds=9000, idle_seconds=900)).session.conversation
    wide.deadlines.engine_ready()
    assert wide.deadlines.ending(1299.0) is None
    assert wide.deadlines.ending(1300.0) == IDLE


async def test_words_carry_the_head_of_their_session() -> None:
    seated = Seated(conversation_id="c7")
    recorder = seated.session._recorder
    recorder.began("browser", "offline")
    await settle()
    (began,) = seated.journal.others
    head = began.head
    assert (head.session_id, head.conversation_id, head.user_id) == (SESSION, "c7", "u1")
    assert (head.agent_id, head.model, head.voice, head.started_at) == ("a1", "m", "verse", 1000.0)


async def test_an_agent_may_want_no_word_written() -> None:
    seated = Seated(store_text=False)
    recorder = seated.session._recorder
    recorder.began("browser", "offline")
    recorder.record(Call().user("rhubarb").utterance)
    await settle()
    assert len(seated.journal.others) == 1
    assert seated.journal.records == []
    assert [record.utterance.text for record in seated.shown] == ["rhubarb"]


async def test_a_new_conversation_gets_an_id_of_its_own() -> None:
    first, second = (Seated().session._recorder for _ in range(2))
    ids = {recorder.head.conversation_id for recorder in (first, second)}
    assert len(ids) == 2
    assert all(uuid.UUID(one).version == 4 for one in ids)

"""The session that a caller who was let in is given."""

import uuid
from typing import Any

import pytest

from relay.interfaces import Admission, ConversationHistory, EngineCapabilities
from relay.realtime.dialects.client import BrowserDialect
from relay.realtime.endings import IDLE, SESSION_TIME_LIMIT
from relay.realtime.grant import Bounds, Grant
from relay.realtime.opening import browser_session_update
from relay.session.server import create_session, session_setup
from relay.session.session import Session, SessionContext
from tests.fake_connection import FakePeer
from tests.session.fakes import (
    CALLER,
    LIMITS,
    SESSION,
    TRANSCRIPTION,
    FakeClock,
    FakeEngine,
    FakeJournal,
    services,
    settle,
)
from tests.stores.words import Call


class Seated:
    """A session, and the house it was made in."""

    def __init__(self, **granted: Any) -> None:
        self.clock, self.journal = FakeClock(), FakeJournal()
        self.shown: list[Any] = []
        shared = services(clock=self.clock, journal=self.journal, show=self.shown.extend)
        grant = Grant(caller=CALLER, agent_id="a1", model="m", **granted)
        update = browser_session_update(grant, TRANSCRIPTION, "verse")
        admission = Admission(grant, BrowserDialect(), update, True, truncates=True)
        setup = session_setup(shared, SESSION, admission, ConversationHistory())
        context = SessionContext(FakePeer())
        self.session: Session = create_session(shared, LIMITS, setup, context)


async def test_the_tighter_bound_counts_the_houses_or_the_agents() -> None:
    tight = Seated(bounds=Bounds(session_seconds=60, idle_seconds=900)).session.core
    tight.deadlines.greeted()
    assert tight.deadlines.ending(1059.0) is None
    assert tight.deadlines.ending(1060.0) == SESSION_TIME_LIMIT
    wide = Seated(bounds=Bounds(session_seconds=9000, idle_seconds=900)).session.core
    wide.deadlines.greeted()
    assert wide.deadlines.ending(1299.0) is None
    assert wide.deadlines.ending(1300.0) == IDLE


@pytest.mark.parametrize("takes", [True, False])
async def test_an_engine_is_told_what_was_heard_where_it_takes_that(takes: bool) -> None:
    capable = EngineCapabilities(billed=False, truncation=takes)
    shared = services(engine=FakeEngine(FakePeer(), capable))
    grant = Grant(caller=CALLER, agent_id="a1")
    update = browser_session_update(grant, TRANSCRIPTION, "verse")
    admission = Admission(grant, BrowserDialect(), update, True, truncates=True)
    assert session_setup(shared, SESSION, admission, ConversationHistory()).truncates is takes


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

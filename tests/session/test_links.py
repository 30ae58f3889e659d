"""The two directions by themselves; `test_session` shows them at work."""

from typing import Any

from relay.metrics import Traffic
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines
from relay.realtime.dialects.client import BetaDialect, ClientDialect, GaDialect
from relay.realtime.effects import Effect, ToClient
from relay.realtime.endings import CLIENT_LEFT, CLIENT_LOST, CLIENT_TOO_SLOW, ENGINE_CLOSED, Ending
from relay.realtime.grant import Grant
from relay.realtime.opening import SessionSetup, granted_session_update
from relay.session.links import LOST, ClientLink, EngineLink
from relay.session.output import OutputSwitch, plain_output
from tests.fake_connection import FakePeer
from tests.session.fakes import CALLER, CREATED, LIMITS, FakeClock

DELTA = b'{"type":"response.output_audio.delta","event_id":"e","item_id":"A1","delta":"%s"}'
APPEND = b'{"type":"input_audio_buffer.append","audio":"%s"}'


class FakeSession:
    """A session's callbacks, which note what the links ask for; its two links."""

    def __init__(self, view: ClientDialect | None = None) -> None:
        grant, view = Grant(caller=CALLER, agent_id="a1"), view or GaDialect()
        setup = SessionSetup("s1", "c1", grant, view, granted_session_update(grant, {}), False, {})
        self.clock: Any = FakeClock()
        self.traffic = Traffic()
        self.core = SessionCore(setup, Deadlines(LIMITS, 1000.0))
        self.effects: list[Effect] = []
        self.endings: list[Ending] = []
        self.faults: list[Exception] = []
        output = OutputSwitch(plain_output(self.core.playout, None, self.clock))
        self.client = ClientLink(self, output)
        self.engine = EngineLink(self, self.client, output)

    def connect(self) -> tuple[FakePeer, FakePeer]:
        """Attach a client and an engine that is ready."""
        client, engine = FakePeer(), FakePeer()
        self.client.attach(client)
        self.engine.attach(engine)
        self.client.open(self.engine)
        return client, engine

    def perform(self, effects: list[Effect]) -> None:
        self.effects += effects

    def end(self, ending: Ending) -> None:
        self.endings.append(ending)

    def client_left(self, code: int) -> None:
        self.endings.append(CLIENT_LOST if code == LOST else CLIENT_LEFT)

    def engine_closed(self, code: int, reason: str) -> None:
        self.endings.append(ENGINE_CLOSED)

    def fail(self, error: Exception) -> None:
        self.faults.append(error)

    def rearm(self) -> None:
        pass


async def test_audio_down_is_renamed_for_an_old_client_and_counted_for_its_item() -> None:
    session = FakeSession(BetaDialect())
    client, engine = session.connect()
    engine.arrive(CREATED)
    engine.arrive(b'{"type":"response.output_item.added","item":{"id":"A1","type":"message"}}')
    engine.arrive(DELTA % (b"A" * 6400))
    assert client.sent == [(DELTA % (b"A" * 6400)).replace(b"output_audio", b"audio")]
    (item,) = session.core.transcript._items.values()
    assert item.audio_ms == 100
    assert (session.traffic.frames_down, session.traffic.frames_up) == (3, 0)


async def test_audio_up_is_written_anew_and_nonsense_is_answered() -> None:
    session = FakeSession(BetaDialect())
    client, engine = session.connect()
    client.arrive(b'{"type": "input_audio_buffer.append", "audio": "AAAA", "x": 1}')
    client.arrive(b'{"type":"input_audio_buffer.append","audio":1}')
    assert engine.sent == [b'{"type":"input_audio_buffer.append","audio":"AAAA"}']
    assert [type(effect) for effect in session.effects] == [ToClient]
    assert session.traffic.frames_up == 2


async def test_a_fault_goes_to_the_session_and_not_to_the_connection() -> None:
    session = FakeSession()
    client, engine = session.connect()

    def broken(*_: object) -> None:
        raise RuntimeError

    session.core.from_engine = broken  # type: ignore[method-assign,assignment]
    session.core.from_client = broken  # type: ignore[method-assign,assignment]
    engine.arrive(b'{"type":"response.done"}')
    client.arrive(b'{"type":"response.create"}')
    assert [type(fault) for fault in session.faults] == [RuntimeError, RuntimeError]


async def test_another_client_takes_the_place_of_one_that_was_detached() -> None:
    session = FakeSession()
    first, engine = session.connect()
    engine.arrive(DELTA % b"AAAA")
    first.arrive(APPEND % b"AAAA")

    assert session.client.detach() is first
    first.arrive(APPEND % b"BBBB")
    engine.arrive(DELTA % b"BBBB")
    first.leave(1000)
    assert session.client.gone.is_set()

    second = FakePeer()
    session.client.attach(second)
    second.arrive(APPEND % b"CCCC")
    engine.arrive(DELTA % b"CCCC")
    assert first.sent == [DELTA % b"AAAA"]
    assert second.sent == [DELTA % b"CCCC"]
    assert engine.sent == [APPEND % b"AAAA", APPEND % b"CCCC"]
    assert session.endings == [], "the first one's end is not the session's"

    second.leave(1000)
    assert session.endings == [CLIENT_LEFT]


async def test_another_engine_takes_the_place_of_one_that_was_detached() -> None:
    session = FakeSession()
    client, first = session.connect()
    first.arrive(DELTA % b"AAAA")
    client.arrive(APPEND % b"AAAA")

    assert session.engine.detach() is first
    client.arrive(APPEND % b"BBBB")
    first.arrive(DELTA % b"BBBB")
    session.engine.send(b"to nobody")
    first.leave(1011)

    second = FakePeer()
    session.engine.attach(second)
    client.arrive(APPEND % b"CCCC")
    assert second.sent == [], "what comes waits until this engine is ready"
    session.client.open(session.engine)
    client.arrive(APPEND % b"DDDD")
    second.arrive(DELTA % b"CCCC")
    assert first.sent == [APPEND % b"AAAA"]
    assert second.sent == [APPEND % b"BBBB", APPEND % b"CCCC", APPEND % b"DDDD"]
    assert client.sent == [DELTA % b"AAAA", DELTA % b"CCCC"]
    assert session.endings == []

    second.leave(1011)
    assert session.endings == [ENGINE_CLOSED]


async def test_who_is_attached_later_is_paused_as_the_one_before_was() -> None:
    session = FakeSession()
    client, engine = session.connect()
    engine.fill(True)
    assert client.paused
    session.client.detach()
    second = FakePeer()
    session.client.attach(second)
    assert second.paused
    engine.fill(False)
    assert not second.paused

    second.fill(True)
    assert engine.paused
    session.engine.detach()
    later = FakePeer()
    session.engine.attach(later)
    assert later.paused
    session.client.open(session.engine)
    second.fill(False)
    assert not later.paused


async def test_who_is_detached_while_it_is_slow_holds_nobody_back() -> None:
    session = FakeSession()
    client, engine = session.connect()
    session.core.deadlines.engine_ready()
    client.fill(True)
    assert session.core.deadlines.ending(1011.0) == CLIENT_TOO_SLOW
    session.client.detach()
    assert not engine.paused
    assert session.core.deadlines.ending(1011.0) is None

    second = FakePeer()
    session.client.attach(second)
    engine.fill(True)
    assert second.paused
    session.engine.detach()
    assert not second.paused


async def test_what_waits_for_an_engine_goes_with_its_client() -> None:
    for leaves in (True, False):
        session, client = FakeSession(), FakePeer()
        session.client.attach(client)
        client.arrive(APPEND % (b"A" * 4000))
        assert session.client.waiting > 4000
        if leaves:
            client.leave(1000)
        else:
            session.client.close([], 1011, "")
        assert session.client.waiting == 0


async def test_an_engine_that_takes_nothing_more_is_not_waited_for() -> None:
    session = FakeSession()
    _, engine = session.connect()
    session.engine.writable(False)
    session.engine.close(1000, "Client disconnected")
    assert engine.close_sent == (LOST, "Client disconnected")

"""The two directions by themselves; `test_session` shows them at work."""

from typing import Any

from relay.metrics import Traffic
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.dialects.client import BetaDialect, ClientDialect
from relay.realtime.effects import Effect, ToClient
from relay.realtime.endings import Ending
from relay.realtime.grant import Grant
from relay.realtime.opening import SessionSetup, openai_session_update
from relay.session.links import ClientLink, EngineLink
from relay.session.output import DirectOutput
from tests.fake_connection import FakePeer
from tests.session.fakes import CALLER, CREATED, FakeClock

DELTA = b'{"type":"response.output_audio.delta","event_id":"e","item_id":"A1","delta":"%s"}'


class FakeSession:
    """Notes what the directions ask for."""

    def __init__(self, view: ClientDialect) -> None:
        grant = Grant(caller=CALLER, agent_id="a1")
        setup = SessionSetup("s1", "c1", grant, view, openai_session_update(grant, {}), False, {})
        self.clock: Any = FakeClock()
        self.traffic = Traffic()
        self.core = SessionCore(setup, Deadlines(SessionLimits(10.0, 60.0, 60.0), 1000.0))
        self.actions: list[Effect] = []
        self.endings: list[Ending] = []
        self.faults: list[Exception] = []

    def perform(self, actions: list[Effect]) -> None:
        self.actions += actions

    def end(self, ending: Ending) -> None:
        self.endings.append(ending)

    def fail(self, error: Exception) -> None:
        self.faults.append(error)

    def rearm(self) -> None:
        pass


def test_audio_down_is_renamed_for_an_old_client_and_counted_for_its_item() -> None:
    view = BetaDialect()
    session, client = FakeSession(view), FakePeer()
    down = EngineLink(session, client, DirectOutput(client, session.core.playout), view)
    down.frame(CREATED.encode())
    down.frame(b'{"type":"response.output_item.added","item":{"id":"A1","type":"message"}}')
    down.frame(DELTA % (b"A" * 6400))
    assert client.sent == [(DELTA % (b"A" * 6400)).replace(b"output_audio", b"audio")]
    (item,) = session.core.transcript._items.values()
    assert item.audio_ms == 100
    assert (session.traffic.frames_down, session.traffic.frames_up) == (3, 0)


def test_audio_up_is_written_anew_and_nonsense_is_answered() -> None:
    session, client, engine = FakeSession(BetaDialect()), FakePeer(), FakePeer()
    up = ClientLink(session, client)
    up.open(engine)
    up.frame(memoryview(b'{"type": "input_audio_buffer.append", "audio": "AAAA", "x": 1}'))
    up.frame(memoryview(b'{"type":"input_audio_buffer.append","audio":1}'))
    assert engine.sent == [b'{"type":"input_audio_buffer.append","audio":"AAAA"}']
    assert [type(action) for action in session.actions] == [ToClient]
    assert session.traffic.frames_up == 2


def test_a_fault_goes_to_the_session_and_not_to_the_peer() -> None:
    session, client, engine = FakeSession(BetaDialect()), FakePeer(), FakePeer()

    def broken(*_: object) -> None:
        raise RuntimeError

    session.core.from_engine = broken  # type: ignore[method-assign,assignment]
    session.core.from_client = broken  # type: ignore[method-assign,assignment]
    EngineLink(session, client, DirectOutput(client, session.core.playout), BetaDialect()).frame(
        b'{"type":"response.done"}'
    )
    up = ClientLink(session, client)
    up.open(engine)
    up.frame(b'{"type":"response.create"}')
    assert [type(fault) for fault in session.faults] == [RuntimeError, RuntimeError]

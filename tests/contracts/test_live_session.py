"""Every `LiveSession` keeps the same contract: the real one, and the fake of other tests."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from relay.interfaces import LiveSession
from relay.realtime.coaching.control import Command
from relay.realtime.endings import CLIENT_LEFT, IDLE, SERVICE_RESTART
from relay.realtime.transcript import InterimTranscript
from tests.feed.calls import FakeCall
from tests.session.fakes import CREATED, Stage, settle

TRANSCRIPTION = "conversation.item.input_audio_transcription."
PAUSE, TAKEOVER = Command("pause", "carol"), Command("takeover", "carol")


@dataclass
class Case:
    """A live session; `says` has its learner say something that is final, or not yet."""

    session: LiveSession
    says: Callable[[str, bool], None]


def event(kind: str, **more: object) -> bytes:
    return json.dumps({"type": kind, "item_id": "U1", "content_index": 0, **more}).encode()


@asynccontextmanager
async def real() -> AsyncIterator[Case]:
    stage = Stage()
    session, running = stage.start()
    await settle()
    stage.engine.arrive(CREATED)

    def says(text: str, final: bool) -> None:
        told = {"transcript": text} if final else {"delta": text}
        stage.engine.arrive(event(TRANSCRIPTION + ("completed" if final else "delta"), **told))

    yield Case(session, says)
    session.end(CLIENT_LEFT)
    await running


@asynccontextmanager
async def fake() -> AsyncIterator[Case]:
    session = FakeCall()

    def says(text: str, final: bool) -> None:
        session.open = [] if final else [InterimTranscript("U1", 0, "user", text)]
        session.seq += final

    yield Case(session, says)


LIVE: dict[str, Callable[[], AbstractAsyncContextManager[Case]]] = {"real": real, "fake": fake}


@pytest.fixture(params=list(LIVE))
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    async with LIVE[request.param]() as made:
        yield made


async def test_what_is_said_is_interim_until_it_is_final_and_then_counted(case: Case) -> None:
    assert (list(case.session.interim()), case.session.status().seq) == ([], 0)
    case.says("Good mor", False)
    assert list(case.session.interim()) == [InterimTranscript("U1", 0, "user", "Good mor")]
    case.says("Good morning.", True)
    assert (list(case.session.interim()), case.session.status().seq) == ([], 1)


async def test_it_names_itself_its_door_and_its_engine(case: Case) -> None:
    session = case.session
    assert session.head.session_id
    assert isinstance(session.door, str)
    assert session.engine_name in ("fake", "offline")


async def test_a_pause_shows_in_its_status(case: Case) -> None:
    assert not case.session.status().is_paused
    assert case.session.execute(PAUSE) == "done"
    assert case.session.status().is_paused


async def test_a_coach_gets_a_stream_that_is_open_until_it_is_closed(case: Case) -> None:
    stream = case.session.open_coach_audio("carol")
    assert not isinstance(stream, str)
    assert stream.ending is None
    stream.close(IDLE)
    stream.close(CLIENT_LEFT)
    assert stream.ending == IDLE
    assert await stream.next() is None


async def test_its_first_ending_wins_and_then_nothing_can_be_asked_of_it(case: Case) -> None:
    assert case.session.status().ending is None
    case.session.end(IDLE)
    case.session.end(SERVICE_RESTART)
    await settle()
    assert case.session.status().ending == "idle"
    assert case.session.execute(TAKEOVER) == "over"
    assert case.session.open_coach_audio("carol") == "over"

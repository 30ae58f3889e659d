"""Transcripts of what a coach says, from a second session with the engine."""

import base64
import json
from typing import Any

import pytest

from relay.interfaces import EngineCapabilities, EngineRequest
from relay.realtime.endings import ENGINE_TIMED_OUT
from relay.session.coach_transcriber import EARLY_BYTES, MAX_TURNS, CoachTranscriber
from tests.fake_connection import FakePeer
from tests.realtime import wire_events as wire
from tests.session.fakes import CREATED, SESSION, FakeEngine, settle

CALL = EngineRequest(SESSION, "m", "u1")


class Transcribing:
    """A transcriber, the engine it is connected to, and what it reported."""

    def __init__(self, outcome: Any = None) -> None:
        self.engine = FakePeer()
        self.told: list[tuple[int, str | None]] = []
        self.billed: list[dict[str, Any]] = []
        self.transcriber = CoachTranscriber(
            {"model": "w"}, lambda *words: self.told.append(words), self.billed.append
        )
        self.transcriber.open(FakeEngine(self.engine if outcome is None else outcome), CALL)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(frame) for frame in self.engine.sent]

    def arrive(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.engine.arrive(json.dumps(event))


async def test_an_engine_that_does_not_transcribe_is_not_opened() -> None:
    told: list[tuple[int, str | None]] = []
    transcriber = CoachTranscriber({}, lambda *words: told.append(words), lambda _: None)
    engine = FakeEngine(FakePeer(), EngineCapabilities(billed=False, input_transcription=False))
    transcriber.open(engine, CALL)
    transcriber.take_audio(1, b"ab")
    transcriber.take_audio(1, None)
    await settle()
    assert (engine.calls, told) == ([], [(1, None)])


async def greeted() -> Transcribing:
    here = Transcribing()
    await settle()
    here.engine.arrive(CREATED)
    return here


async def test_what_was_said_before_the_engine_was_there_is_not_lost() -> None:
    here = Transcribing()
    here.transcriber.take_audio(1, b"ab")
    here.transcriber.take_audio(1, None)
    await settle()
    assert here.sent == []
    here.engine.arrive(CREATED)
    update, append, commit = here.sent
    assert update["session"]["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "w"},
        "turn_detection": None,
    }
    assert base64.b64decode(append["audio"]) == b"ab"
    assert commit["type"] == "input_audio_buffer.commit"
    await here.transcriber.aclose()


async def test_words_find_their_turn_in_whatever_order_they_come() -> None:
    here = await greeted()
    for turn in (1, 2):
        here.transcriber.take_audio(turn, b"ab")
        here.transcriber.take_audio(turn, None)
    here.arrive(wire.committed("E1", None), wire.committed("E2", "E1"))
    here.arrive(wire.heard("E2", "Second."), wire.heard("E1", "Fir", status="in_progress"))
    assert here.told == [(2, "Second.")]
    here.arrive(wire.not_heard("E1"))
    assert here.told == [(2, "Second."), (1, None)]
    assert [event["item_id"] for event in here.billed] == ["ear_E2", "ear_E1", "ear_E1"]
    await here.transcriber.settle(0.01)
    await here.transcriber.aclose()


async def test_a_turn_that_the_engine_will_not_have_has_no_words() -> None:
    here = await greeted()
    here.transcriber.take_audio(1, None)
    here.transcriber.take_audio(2, None)
    commit = here.sent[1]["event_id"]
    here.arrive({"type": "error", "error": {"event_id": commit, "message": "empty"}})
    here.arrive(wire.committed("E1", None), wire.heard("E1", "Second."))
    assert here.told == [(1, None), (2, "Second.")]
    await here.transcriber.aclose()


@pytest.mark.parametrize("outcome", [ENGINE_TIMED_OUT, OSError("no route")])
async def test_an_engine_that_cannot_be_reached_leaves_turns_without_words(outcome: Any) -> None:
    here = Transcribing(outcome)
    here.transcriber.take_audio(1, b"ab")
    here.transcriber.take_audio(1, None)
    await settle()
    assert here.told == [(1, None)]
    here.transcriber.take_audio(2, None)
    await here.transcriber.settle(5.0)
    assert here.told == [(1, None), (2, None)]
    await here.transcriber.aclose()


async def test_an_engine_that_goes_away_leaves_what_waits_without_words() -> None:
    here = await greeted()
    here.transcriber.take_audio(1, None)
    here.arrive(wire.committed("E1", None))
    here.transcriber.take_audio(2, None)
    here.engine.leave()
    assert here.told == [(1, None), (2, None)]
    await here.transcriber.aclose()


async def test_everything_that_waits_is_bounded() -> None:
    here = Transcribing()
    for _ in range(8):
        here.transcriber.take_audio(1, bytes(EARLY_BYTES // 4))
    for turn in range(MAX_TURNS + 1):
        here.transcriber.take_audio(turn, None)
    assert here.told == [(0, None)]
    await settle()
    here.engine.arrive(CREATED)
    appends = [event for event in here.sent if event["type"].endswith("append")]
    assert len(appends) < 8
    before = len(here.sent)
    here.engine.fill(True)
    here.transcriber.take_audio(99, b"ab")
    here.engine.fill(False)
    assert len(here.sent) == before, "an engine that does not read is sent nothing"
    await here.transcriber.aclose()
    assert here.engine.close_sent is not None


async def test_what_cannot_be_read_is_nothing_and_a_fault_ends_the_transcripts_alone() -> None:
    here = await greeted()
    here.transcriber.take_audio(1, None)
    here.engine.arrive("no json")
    assert here.told == []

    def broken(_: object) -> None:
        raise ValueError("a fault")

    here.transcriber._billed = broken
    here.arrive(wire.committed("E1", None), wire.heard("E1", "Hello."))
    assert here.told == [(1, None)]
    await here.transcriber.aclose()

"""What a coach said, as a second engine writes it down."""

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


class Desk:
    """An ear, the engine it listens with, and what it told."""

    def __init__(self, outcome: Any = None) -> None:
        self.peer = FakePeer()
        self.told: list[tuple[int, str | None]] = []
        self.billed: list[dict[str, Any]] = []
        self.ear = CoachTranscriber(
            {"model": "w"}, lambda *words: self.told.append(words), self.billed.append
        )
        self.ear.open(FakeEngine(self.peer if outcome is None else outcome), CALL)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(frame) for frame in self.peer.sent]

    def arrive(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.peer.arrive(json.dumps(event))


async def test_an_engine_that_does_not_transcribe_is_not_opened() -> None:
    told: list[tuple[int, str | None]] = []
    transcriber = CoachTranscriber({}, lambda *words: told.append(words), lambda _: None)
    engine = FakeEngine(FakePeer(), EngineCapabilities(billed=False, input_transcription=False))
    transcriber.open(engine, CALL)
    transcriber.hear(1, b"ab")
    transcriber.hear(1, None)
    await settle()
    assert (engine.calls, told) == ([], [(1, None)])


async def greeted() -> Desk:
    desk = Desk()
    await settle()
    desk.peer.arrive(CREATED)
    return desk


async def test_what_was_said_before_the_engine_was_there_is_not_lost() -> None:
    desk = Desk()
    desk.ear.hear(1, b"ab")
    desk.ear.hear(1, None)
    await settle()
    assert desk.sent == []
    desk.peer.arrive(CREATED)
    update, append, commit = desk.sent
    assert update["session"]["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "w"},
        "turn_detection": None,
    }
    assert base64.b64decode(append["audio"]) == b"ab"
    assert commit["type"] == "input_audio_buffer.commit"
    await desk.ear.aclose()


async def test_words_find_their_turn_in_whatever_order_they_come() -> None:
    desk = await greeted()
    for turn in (1, 2):
        desk.ear.hear(turn, b"ab")
        desk.ear.hear(turn, None)
    desk.arrive(wire.committed("E1", None), wire.committed("E2", "E1"))
    desk.arrive(wire.heard("E2", "Second."), wire.heard("E1", "Fir", status="in_progress"))
    assert desk.told == [(2, "Second.")]
    desk.arrive(wire.not_heard("E1"))
    assert desk.told == [(2, "Second."), (1, None)]
    assert [event["item_id"] for event in desk.billed] == ["ear_E2", "ear_E1", "ear_E1"]
    await desk.ear.settle(0.01)
    await desk.ear.aclose()


async def test_a_turn_that_the_engine_will_not_have_has_no_words() -> None:
    desk = await greeted()
    desk.ear.hear(1, None)
    desk.ear.hear(2, None)
    commit = desk.sent[1]["event_id"]
    desk.arrive({"type": "error", "error": {"event_id": commit, "message": "empty"}})
    desk.arrive(wire.committed("E1", None), wire.heard("E1", "Second."))
    assert desk.told == [(1, None), (2, "Second.")]
    await desk.ear.aclose()


@pytest.mark.parametrize("outcome", [ENGINE_TIMED_OUT, OSError("no route")])
async def test_an_engine_that_cannot_be_reached_leaves_turns_without_words(outcome: Any) -> None:
    desk = Desk(outcome)
    desk.ear.hear(1, b"ab")
    desk.ear.hear(1, None)
    await settle()
    assert desk.told == [(1, None)]
    desk.ear.hear(2, None)
    await desk.ear.settle(5.0)
    assert desk.told == [(1, None), (2, None)]
    await desk.ear.aclose()


async def test_an_engine_that_goes_away_leaves_what_waits_without_words() -> None:
    desk = await greeted()
    desk.ear.hear(1, None)
    desk.arrive(wire.committed("E1", None))
    desk.ear.hear(2, None)
    desk.peer.leave()
    assert desk.told == [(1, None), (2, None)]
    await desk.ear.aclose()


async def test_everything_that_waits_is_bounded() -> None:
    desk = Desk()
    for _ in range(8):
        desk.ear.hear(1, bytes(EARLY_BYTES // 4))
    for turn in range(MAX_TURNS + 1):
        desk.ear.hear(turn, None)
    assert desk.told == [(0, None)]
    await settle()
    desk.peer.arrive(CREATED)
    appends = [event for event in desk.sent if event["type"].endswith("append")]
    assert len(appends) < 8
    before = len(desk.sent)
    desk.peer.fill(True)
    desk.ear.hear(99, b"ab")
    desk.peer.fill(False)
    assert len(desk.sent) == before, "an engine that does not read is sent nothing"
    await desk.ear.aclose()
    assert desk.peer.close_sent is not None


async def test_what_cannot_be_read_is_nothing_and_a_fault_ends_the_ear_alone() -> None:
    desk = await greeted()
    desk.ear.hear(1, None)
    desk.peer.arrive("no json")
    assert desk.told == []

    def broken(_: object) -> None:
        raise ValueError("a fault")

    desk.ear._billed = broken
    desk.arrive(wire.committed("E1", None), wire.heard("E1", "Hello."))
    assert desk.told == [(1, None)]
    await desk.ear.aclose()

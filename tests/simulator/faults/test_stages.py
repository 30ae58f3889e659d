"""Stages of a session with faults: those that hold events back, and several in a row."""

import math

import pytest

from relay.engines.cascade.effects import Close, Emit
from relay.simulator.faults import tracking
from relay.simulator.faults.plan import Pipeline
from relay.simulator.faults.tracking import (
    TRANSCRIPTION,
    BeforeItem,
    EventStage,
    Late,
    OutOfOrder,
    TrackedEvent,
    changed,
)

STOPPED = "input_audio_buffer.speech_stopped"
COMMITTED = "input_audio_buffer.committed"


def event(kind: str, turn: int | None = None) -> TrackedEvent:
    return TrackedEvent(Emit({"type": kind}), 1, turn)


def always(_: TrackedEvent) -> bool:
    return True


def kinds(events: list[TrackedEvent]) -> list[str]:
    return [one.kind.rpartition(".")[2] for one in events]


def test_late_events_keep_their_order_and_let_others_pass():
    late = Late(lambda s: s.kind == "a", 2.0)

    assert kinds(late.take(event("a"), 0.0)) == []
    assert kinds(late.take(event("b"), 0.5)) == ["b"]
    assert kinds(late.take(event("a"), 1.0)) == []
    assert late.due() == 2.0
    assert kinds(late.tick(2.0)) == ["a"]
    assert late.due() == 3.0
    assert kinds(late.tick(9.0)) == ["a"]


def test_a_full_stage_sends_the_oldest_early(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracking, "MAX_HELD", 2)
    late = Late(always, 2.0)

    passed = [kinds(late.take(event(kind), 0.0)) for kind in "abc"]

    assert passed == [[], [], ["a"]]


def words(turn: int) -> list[TrackedEvent]:
    return [event(f"{TRANSCRIPTION}{kind}", turn) for kind in ("delta", "completed")]


def turns(events: list[TrackedEvent]) -> list[int | None]:
    return [one.turn for one in events]


def test_one_turns_transcription_waits_for_the_next_turns():
    order = OutOfOrder(lambda s: s.turn == 1, 30.0)
    told = []
    for one in (*words(1), event("response.created", 1), *words(2), *words(3)):
        told += order.take(one, 0.0)

    assert turns(told) == [1, 2, 2, 1, 1, 3, 3]
    assert order.due() == math.inf


def test_all_turns_are_swapped_in_pairs():
    order = OutOfOrder(always, 30.0)
    told = [passed for turn in (1, 2, 3, 4) for one in words(turn) for passed in order.take(one, 0)]

    assert turns(told) == [2, 2, 1, 1, 4, 4, 3, 3]


def test_without_a_later_turn_the_transcription_is_released_in_the_end():
    order = OutOfOrder(always, 30.0)
    for one in words(1):
        assert order.take(one, 5.0) == []

    assert order.due() == 35.0
    assert order.tick(34.0) == []
    assert turns(order.tick(35.0)) == [1, 1]


def test_a_turns_transcription_comes_before_its_item():
    before = BeforeItem(always, 2.0)
    delta, completed = words(1)
    told = []
    for one in (
        event("input_audio_buffer.speech_started", 1),
        event(STOPPED, 1),
        event(COMMITTED, 1),
        event("conversation.item.added", 1),
        event("response.created", 1),
        delta,
        delta,
        completed,
        event("response.done", 1),
    ):
        told += before.take(one, 0.0)

    assert kinds(told) == [
        "speech_started", "delta", "delta", "speech_stopped", "committed", "added", "created",
        "completed", "done",
    ]  # fmt: skip
    assert before.due() == math.inf


def test_a_turn_without_transcription_is_released_in_the_end():
    before = BeforeItem(always, 2.0)
    assert before.take(event(STOPPED, 1), 1.0) == []
    assert before.take(event(COMMITTED, 1), 1.0) == []

    assert before.due() == 3.0
    assert before.tick(2.9) == []
    assert kinds(before.tick(3.0)) == ["speech_stopped", "committed"]
    assert kinds(before.take(words(1)[1], 4.0)) == ["completed"]


def test_a_close_releases_everything_before_it():
    before = BeforeItem(always, 2.0)
    before.take(event(COMMITTED, 1), 0.0)

    freed = before.take(TrackedEvent(Close(1001, ""), 9), 0.0)

    assert kinds(freed) == ["committed", ""]


def test_a_full_stage_releases_everything(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracking, "MAX_HELD", 2)
    before = BeforeItem(always, 2.0)

    passed = [len(before.take(event(kind, 1), 0.0)) for kind in (STOPPED, COMMITTED, "x")]

    assert passed == [0, 0, 3]


# -------------------------------------------------------------------------------- stages in a row

TWICE = EventStage(always, lambda s: [s, s])
DROP_A = EventStage(lambda s: s.kind == "a", lambda _: [])


def test_each_stage_alters_the_output_of_the_last():
    assert kinds(Pipeline([TWICE, TWICE]).take(event("a"), 0.0)) == ["a"] * 4
    assert kinds(Pipeline([TWICE, DROP_A]).take(event("a"), 0.0)) == []
    assert kinds(Pipeline([DROP_A, TWICE]).take(event("b"), 0.0)) == ["b", "b"]


def test_without_faults_everything_passes():
    pipeline = Pipeline([])

    assert kinds(pipeline.take(event("a"), 0.0)) == ["a"]
    assert pipeline.due() == math.inf
    assert pipeline.tick(1.0) == []


def test_held_events_go_through_the_later_stages():
    mark = EventStage(always, lambda s: [changed(s, marked=True)])
    pipeline = Pipeline([mark, Late(always, 2.0), TWICE])

    assert pipeline.take(event("a"), 10.0) == []
    assert pipeline.due() == 12.0
    assert pipeline.tick(11.9) == []
    freed = pipeline.tick(12.0)
    assert kinds(freed) == ["a", "a"]
    assert freed[0].event["marked"]
    assert pipeline.due() == math.inf


def test_a_stage_that_holds_nothing_has_no_deadline():
    assert TWICE.due() == math.inf
    assert TWICE.tick(0.0) == []

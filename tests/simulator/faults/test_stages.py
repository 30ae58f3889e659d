"""How faults stand behind one another."""

import math

from relay.engines.cascade.effects import Emit
from relay.simulator.faults.plan import Each, Pipeline
from relay.simulator.faults.tracking import Late, TrackedEvent, changed


def seen(kind: str, **fields: object) -> TrackedEvent:
    return TrackedEvent(Emit({"type": kind, **fields}), 1)


def always(_: TrackedEvent) -> bool:
    return True


def kinds(several: list[TrackedEvent]) -> list[str]:
    return [one.kind for one in several]


TWICE = Each(always, lambda s: [s, s])
DROP_A = Each(lambda s: s.kind == "a", lambda _: [])


def test_what_one_lets_through_the_next_alters():
    assert kinds(Pipeline([TWICE, TWICE]).take(seen("a"), 0.0)) == ["a"] * 4
    assert kinds(Pipeline([TWICE, DROP_A]).take(seen("a"), 0.0)) == []
    assert kinds(Pipeline([DROP_A, TWICE]).take(seen("b"), 0.0)) == ["b", "b"]


def test_without_faults_everything_passes():
    pipeline = Pipeline([])

    assert kinds(pipeline.take(seen("a"), 0.0)) == ["a"]
    assert pipeline.due() == math.inf
    assert pipeline.tick(1.0) == []


def test_what_was_held_goes_through_the_faults_behind():
    mark = Each(always, lambda s: [changed(s, marked=True)])
    pipeline = Pipeline([mark, Late(always, 2.0), TWICE])

    assert pipeline.take(seen("a"), 10.0) == []
    assert pipeline.due() == 12.0
    assert pipeline.tick(11.9) == []
    freed = pipeline.tick(12.0)
    assert kinds(freed) == ["a", "a"]
    assert freed[0].event["marked"]
    assert pipeline.due() == math.inf


def test_what_holds_nothing():
    assert TWICE.due() == math.inf
    assert TWICE.tick(0.0) == []

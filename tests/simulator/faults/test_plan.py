"""All faults there are, and the faults of one session."""

from typing import get_args

import pytest

from relay.engines.cascade.machine import Opening
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import Reply, ReplyOccasion, as_reply
from relay.simulator.faults import (
    Condition,
    Errors,
    Faults,
    HandshakeFault,
    HttpLate,
    InBandRefusal,
    ResponseFailed,
    ResponseIncomplete,
    SessionExpired,
    SlowReader,
    TranscriptionLate,
    responses,
    sessions,
    tracking,
)
from relay.simulator.faults.plan import (
    EVENT_FAULTS,
    MODES,
    NO_FAULTS,
    REPLY_FAULTS,
    DoorFault,
    Fault,
    FaultyRules,
    RulesFault,
    holding_stage,
)
from relay.simulator.faults.tracking import Unit
from tests.engines.cascade.driving import Talk

OPENING = Opening("m", 0, Pace())


def new_id(prefix: str) -> str:
    return f"{prefix}_x"


def test_without_faults_nothing_is_different():
    mine = NO_FAULTS.of_session(1)
    machine = Talk().machine

    assert (mine.handshake, mine.refusal, mine.slow_reader) == (None, None, None)
    assert mine.rules(machine, new_id) is machine
    assert mine.opening(OPENING).seconds == 3600


def test_faults_at_the_door_of_a_session():
    faults = Faults(
        (
            HandshakeFault(status=429, only=Condition(session=2)),
            InBandRefusal(only=Condition(session=[3, 4])),
            SlowReader(seconds=1, only=Condition(session=5)),
        )
    )
    seen = [faults.of_session(number) for number in range(1, 7)]

    assert [mine.handshake is not None for mine in seen] == [False, True] + [False] * 4
    assert [mine.refusal is not None for mine in seen] == [False, False, True, True] + [False] * 2
    assert [mine.slow_reader is not None for mine in seen] == [False] * 4 + [True, False]


def test_chance_decides_by_session():
    faults = Faults((HandshakeFault(status=500, only=Condition(probability=0.5)),), seed=1)
    first = [faults.of_session(number).handshake is not None for number in range(1, 41)]

    assert 8 < sum(first) < 32
    assert [faults.of_session(n).handshake is not None for n in range(1, 41)] == first


def test_faults_within_a_session():
    faults = Faults((TranscriptionLate(only=Condition(session=2)), SessionExpired(seconds=60)))
    machine = Talk().machine

    assert isinstance(faults.of_session(2).rules(machine, new_id), FaultyRules)
    assert faults.of_session(2).opening(OPENING).seconds == 60
    assert faults.modes == ("transcription_late", "session_expired")


def test_replies_are_revised_one_fault_after_another():
    faults = Faults((ResponseIncomplete(), ResponseFailed(only=Condition(response=2, turn=1))))
    revise = faults.of_session(1).opening(OPENING).revise
    reply = as_reply("One two.")
    assert revise is not None

    assert revise(ReplyOccasion(1, 1), reply).ending.status == "incomplete"
    assert revise(ReplyOccasion(2, 1), reply) == Reply(
        (), ending=revise(ReplyOccasion(2, 1), reply).ending
    )
    assert revise(ReplyOccasion(2, 1), reply).ending.status == "failed"
    assert revise(ReplyOccasion(2, 2), reply).ending.status == "incomplete"


@pytest.mark.parametrize(
    ("fault", "limit"),
    [
        (HandshakeFault(status=401, only=Condition(turn=1)), "turn"),
        (SessionExpired(seconds=1, only=Condition(response=1)), "response"),
        (TranscriptionLate(only=Condition(response=1)), "response"),
        (Errors(only=Condition(request=1)), "request"),
        (HttpLate(only=Condition(session=1)), "session"),
    ],
)
def test_a_condition_that_could_never_be_met_is_refused(fault: Fault, limit: str):
    with pytest.raises(ValueError, match=f"fault 2: only.{limit}: a fault of a .* can be limited"):
        Faults((Errors(), fault))


def test_conditions_that_can_be_met_are_accepted():
    everything = Condition(session=1, turn=1, response=1)

    assert Faults((Errors(only=everything), ResponseFailed(only=everything))).modes


# ------------------------------------------------------------------------------- all faults

HOLDING: dict[type, type] = {
    responses.TranscriptionLate: tracking.Late,
    responses.TranscriptionOutOfOrder: tracking.OutOfOrder,
    responses.TranscriptionBeforeItem: tracking.BeforeItem,
    sessions.EventLate: tracking.Late,
}


def example(shape: type) -> RulesFault:
    needed = {"event": "x", "seconds": 1.0, "after_events": 1}
    fields = getattr(shape, "__struct_fields__")  # noqa: B009 - any of the shapes
    made: RulesFault = shape(**{name: needed[name] for name in fields if name in needed})
    return made


@pytest.mark.parametrize("shape", get_args(RulesFault))
def test_every_fault_of_a_session_is_carried_out_in_one_way(shape: type):
    ways = [shape in EVENT_FAULTS, shape in REPLY_FAULTS, shape in HOLDING]
    stage = holding_stage(example(shape), lambda _: True)

    assert sum(ways) == 1
    assert type(stage) is HOLDING.get(shape, type(None))


def test_every_function_belongs_to_a_fault_of_a_script():
    known = set(get_args(RulesFault))

    assert EVENT_FAULTS.keys() | REPLY_FAULTS.keys() | HOLDING.keys() == known
    assert set(get_args(DoorFault)) == {
        sessions.HandshakeFault,
        sessions.InBandRefusal,
        sessions.SlowReader,
    }


def test_every_fault_has_a_mode_a_unit_and_limits():
    assert len(MODES) == len(get_args(Fault)) == 32
    for mode, shape in MODES.items():
        assert mode == mode.lower()
        assert getattr(shape, "unit") in get_args(Unit)  # noqa: B009
        assert "only" in getattr(shape, "__struct_fields__")  # noqa: B009
        assert shape.__doc__
    assert Condition().probability == 1.0

"""Every fault has a function, and every function a fault."""

from typing import get_args

import pytest

from relay.simulator.faults import Only as Limits
from relay.simulator.faults import noise, transcriptions
from relay.simulator.faults import sessions as door
from relay.simulator.faults import tracking as held
from relay.simulator.faults.plan import EACH, MODES, REPLIES, DoorFault, Fault, RulesFault, holding

HOLDING: dict[type, type] = {
    transcriptions.TranscriptionLate: held.Late,
    transcriptions.TranscriptionOutOfOrder: held.OutOfOrder,
    transcriptions.TranscriptionBeforeItem: held.BeforeItem,
    noise.EventLate: held.Late,
}


def example(shape: type) -> RulesFault:
    needed = {"event": "x", "seconds": 1.0, "after_events": 1}
    fields = getattr(shape, "__struct_fields__")  # noqa: B009 - any of the shapes
    made: RulesFault = shape(**{name: needed[name] for name in fields if name in needed})
    return made


@pytest.mark.parametrize("shape", get_args(RulesFault))
def test_every_fault_of_a_session_is_carried_out_in_one_way(shape: type):
    ways = [shape in EACH, shape in REPLIES, shape in HOLDING]
    stage = holding(example(shape), lambda _: True)

    assert sum(ways) == 1
    assert type(stage) is HOLDING.get(shape, type(None))


def test_nothing_is_carried_out_that_no_script_can_ask_for():
    known = set(get_args(RulesFault))

    assert EACH.keys() | REPLIES.keys() | HOLDING.keys() == known
    assert set(get_args(DoorFault)) == {door.Handshake, door.InBandRefusal, door.SlowReader}


def test_every_fault_has_a_mode_a_unit_and_limits():
    assert len(MODES) == len(get_args(Fault)) == 27
    for mode, shape in MODES.items():
        assert mode == mode.lower()
        assert getattr(shape, "unit") in ("session", "turn", "response", "event")  # noqa: B009
        assert "only" in getattr(shape, "__struct_fields__")  # noqa: B009
        assert shape.__doc__
    assert Limits().probability == 1.0

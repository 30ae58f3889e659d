"""Which faults happen in which session."""

import pytest

from relay.engines.cascade.machine import Opening
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import Reply, ReplyOccasion, as_reply
from relay.simulator.faults import (
    Errors,
    Faults,
    Handshake,
    InBandRefusal,
    Only,
    ResponseFailed,
    ResponseIncomplete,
    SessionExpired,
    SlowReader,
    TranscriptionLate,
)
from relay.simulator.faults.plan import NO_FAULTS, Fault, FaultyRules
from tests.engines.cascade.driving import Talk

OPENING = Opening("m", 0, Pace())


def new_id(prefix: str) -> str:
    return f"{prefix}_x"


def test_without_faults_nothing_is_different():
    mine = NO_FAULTS.of_session(1)
    machine = Talk().machine

    assert (mine.handshake, mine.turned_away, mine.nap) == (None, None, None)
    assert mine.rules(machine, new_id) is machine
    assert mine.opening(OPENING).seconds == 3600


def test_what_happens_at_the_door():
    faults = Faults(
        (
            Handshake(status=429, only=Only(session=2)),
            InBandRefusal(only=Only(session=[3, 4])),
            SlowReader(seconds=1, only=Only(session=5)),
        )
    )
    seen = [faults.of_session(number) for number in range(1, 7)]

    assert [mine.handshake is not None for mine in seen] == [False, True] + [False] * 4
    assert [mine.turned_away is not None for mine in seen] == [False, False, True, True] + [
        False
    ] * 2
    assert [mine.nap is not None for mine in seen] == [False] * 4 + [True, False]


def test_chance_decides_by_session():
    faults = Faults((Handshake(status=500, only=Only(probability=0.5)),), seed=1)
    first = [faults.of_session(number).handshake is not None for number in range(1, 41)]

    assert 8 < sum(first) < 32
    assert [faults.of_session(n).handshake is not None for n in range(1, 41)] == first


def test_what_happens_within():
    faults = Faults((TranscriptionLate(only=Only(session=2)), SessionExpired(seconds=60)))
    machine = Talk().machine

    assert isinstance(faults.of_session(2).rules(machine, new_id), FaultyRules)
    assert faults.of_session(2).opening(OPENING).seconds == 60
    assert faults.modes == ("transcription_late", "session_expired")


def test_replies_are_revised_one_fault_after_another():
    faults = Faults((ResponseIncomplete(), ResponseFailed(only=Only(response=2, turn=1))))
    revise = faults.of_session(1).opening(OPENING).revise
    reply = as_reply("One two.")

    assert revise(ReplyOccasion(1, 1), reply).ending.status == "incomplete"
    assert revise(ReplyOccasion(2, 1), reply) == Reply(
        (), ending=revise(ReplyOccasion(2, 1), reply).ending
    )
    assert revise(ReplyOccasion(2, 1), reply).ending.status == "failed"
    assert revise(ReplyOccasion(2, 2), reply).ending.status == "incomplete"


@pytest.mark.parametrize(
    ("fault", "limit"),
    [
        (Handshake(status=401, only=Only(turn=1)), "turn"),
        (SessionExpired(seconds=1, only=Only(response=1)), "response"),
        (TranscriptionLate(only=Only(response=1)), "response"),
    ],
)
def test_a_limit_that_could_never_hold_is_refused(fault: Fault, limit: str):
    with pytest.raises(ValueError, match=f"fault 2: only.{limit}: a fault of a .* can be limited"):
        Faults((Errors(), fault))


def test_limits_that_make_sense():
    everything = Only(session=1, turn=1, response=1)

    assert Faults((Errors(only=everything), ResponseFailed(only=everything))).modes

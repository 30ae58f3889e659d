"""Which HTTP requests a fault happens to."""

import pytest

from relay.simulator.faults import Condition, Faults, HttpCut, HttpFailed, HttpLate, HttpStalled
from relay.simulator.faults.http import HttpPath
from relay.simulator.script import BadScript, parse

CHAT: HttpPath = "/v1/chat/completions"
SPEECH: HttpPath = "/v1/audio/speech"


def test_without_a_path_all_requests_are_counted():
    faults = Faults((HttpFailed(status=500, only=Condition(request=2)),)).of_requests()

    assert [faults.next(path).failed is not None for path in (CHAT, SPEECH, CHAT)] == [
        False, True, False
    ]  # fmt: skip


def test_with_a_path_only_its_own():
    fault = HttpFailed(status=500, path=SPEECH, only=Condition(request=[1, 2]))
    faults = Faults((fault,)).of_requests()

    seen = [faults.next(path).failed for path in (CHAT, SPEECH, CHAT, SPEECH, SPEECH)]

    assert seen == [None, fault, None, fault, None]


def test_every_so_many():
    faults = Faults((HttpLate(seconds=2, every=2),)).of_requests()

    assert [faults.next(CHAT).late_seconds for _ in range(4)] == [0, 2, 0, 2]


def test_chance_is_the_same_with_the_same_seed():
    def seen(seed: int) -> list[bool]:
        chance = Faults((HttpLate(only=Condition(probability=0.5)),), seed=seed).of_requests()
        return [bool(chance.next(CHAT).late_seconds) for _ in range(40)]

    assert 8 < sum(seen(1)) < 32
    assert seen(1) == seen(1) != seen(2)


def test_several_at_once():
    made = Faults((HttpLate(seconds=1), HttpCut(after_pieces=5), HttpLate(seconds=2),
                   HttpStalled(after_pieces=3), HttpCut(after_pieces=4)))  # fmt: skip
    faults = made.of_requests().next(CHAT)

    assert (faults.late_seconds, faults.cut_after, faults.stalled_after) == (3, 4, 3)
    assert faults.ends_early
    assert not Faults().of_requests().next(CHAT).ends_early
    assert made.of_session(1).chosen == ()


def test_a_path_that_there_is_not_is_a_mistake():
    with pytest.raises(BadScript, match=r"line 3: fault.1.path: Invalid enum value"):
        parse('[[fault]]\nmode = "http_late"\npath = "/v1/chat"')

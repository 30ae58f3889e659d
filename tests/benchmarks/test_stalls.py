"""Calls through the relay over a network that stalls, and the model of that network."""

import asyncio
import statistics
import time
from collections.abc import Sequence

import pytest

from tests.benchmarks.calls import Call, Talk
from tests.benchmarks.heard import delays, playbacks, uplink
from tests.benchmarks.loss import Flow, LossyProxy, Network, lossy_proxy
from tests.benchmarks.stalls import (
    BURST,
    LIVE,
    PACED,
    Measured,
    held,
    relay_and_engine,
    tables,
)
from tests.components import needs, require

STALL = 0.8  # s
CAUGHT_UP = STALL * 1000 / 2
"""ms: a busy machine adds less to a delay, and a call that stays late has all of the stall."""


async def stall_in(call: Call, number: int, proxy: LossyProxy) -> float:
    """Stop the network in the middle of an answer; gives the moment."""
    while len(call.answers) <= number or len(call.answers[number].arrived) < 5:
        await asyncio.sleep(0.01)
    began = time.monotonic()
    proxy.block(STALL)
    return began


async def stalled_calls() -> tuple[list[Call], float]:
    """Three answers in each call; the network of all stands still in the second."""
    talk = Talk(answers=3, answer=1.0, every=2.1)
    calls = [Call(LIVE, talk), Call(PACED, talk), Call(BURST, talk)]
    async with (
        relay_and_engine() as (server, end),
        lossy_proxy(Network(), server.port) as proxy,
        asyncio.TaskGroup() as tasks,
    ):
        stalling = tasks.create_task(stall_in(calls[0], 1, proxy))
        await held(end, proxy, calls)
    return calls, stalling.result()


@pytest.mark.slow
@needs("node")
async def test_after_a_stall_a_call_catches_up_and_no_sound_is_lost() -> None:
    calls, began = await stalled_calls()
    assert [call.heard_all for call in calls] == [True] * 3

    for call in calls:
        before = delays(call, lambda sent: sent < began)
        during = delays(call, lambda sent: began <= sent < began + STALL)
        after = delays(call, lambda sent: sent > began + STALL + 0.3)
        assert max(during) > 0.8 * STALL * 1000
        assert len(after) > 20
        assert statistics.median(after) < statistics.median(before) + CAUGHT_UP

    heard = playbacks(calls, require("node"))
    assert sum(heard[0][1].underruns) > CAUGHT_UP
    for first, _, last in heard:
        assert last.onset < first.onset + CAUGHT_UP

    shown = tables([Measured(0, calls)], require("node"))
    assert f"| {LIVE.name} | 0 % |" in shown


# -------------------------------------------------------------------- the network that is modelled

ROUND_TRIP = 0.06
LOSSY = Network(loss=0.01, round_trip=ROUND_TRIP)
SOON = pytest.approx(0, abs=0.005)


class Dice:
    """Throws what it is told: 0 loses a segment, 1 does not."""

    def __init__(self, *throws: float) -> None:
        self._throws = list(throws)

    def random(self) -> float:
        return self._throws.pop(0)


def arrivals(flow: Flow, sent: Sequence[float]) -> list[float]:
    """When (s) segments of 100 bytes arrive that are sent one by one at these moments."""
    found: list[float] = []
    for at in (*sent, float("inf")):
        while (now := flow.next()) <= at and flow.waiting:
            found += [now] * (len(flow.leave(now)) // 100)
        if at in sent:
            flow.enter(bytes(100), at)
    return found


def thrown(*throws: float) -> Flow:
    flow = Flow(LOSSY, 0)
    flow._random = Dice(*throws)  # type: ignore[assignment]
    return flow


def test_a_segment_takes_half_a_round_trip() -> None:
    [at] = arrivals(thrown(1), [1.0])
    assert at - 1.0 - ROUND_TRIP / 2 == SOON


def test_a_lost_segment_holds_back_those_behind_it_for_a_round_trip_and_three_of_them() -> None:
    sent = [n * 0.02 for n in range(6)]
    found = arrivals(thrown(0, 1, 1, 1, 1, 1, 1), sent)
    resent = sent[3] + ROUND_TRIP  # the third duplicate acknowledgement
    assert found[0] - resent - ROUND_TRIP / 2 == SOON
    assert found == sorted(found)
    assert found[5] == pytest.approx(found[0], abs=0.005)  # behind it, and there already


def test_a_lost_segment_that_too_few_follow_waits_for_the_timeout() -> None:
    found = arrivals(thrown(0, 1, 1, 1), [0.0, 0.02, 0.04])
    assert found == [pytest.approx(LOSSY.timeout + ROUND_TRIP / 2, abs=0.005)] * 3


def test_each_further_loss_doubles_the_timeout() -> None:
    way = ROUND_TRIP / 2
    twice = arrivals(thrown(0, 0, 1), [0.0])
    thrice = arrivals(thrown(0, 0, 0, 1), [0.0])
    assert twice == [pytest.approx(3 * LOSSY.timeout + way, abs=0.005)]
    assert thrice == [pytest.approx(7 * LOSSY.timeout + way, abs=0.005)]


def test_the_same_seed_loses_the_same_segments() -> None:
    sent = [n * 0.02 for n in range(2000)]
    lossy = Network(loss=0.03, seed=7)
    flows = [Flow(lossy, 0), Flow(lossy, 0), Flow(lossy, 1)]
    first, same, other = (arrivals(flow, sent) for flow in flows)
    assert first == same != other
    assert 30 <= flows[0].lost <= 90


def test_a_blocked_flow_delivers_all_of_it_at_once_afterwards() -> None:
    flow = Flow(Network(), 0)
    flow.block(2.0)
    assert arrivals(flow, [0.0, 0.5, 1.0, 2.5]) == [2.0, 2.0, 2.0, pytest.approx(2.53, abs=0.001)]


def test_a_recovery_lasts_until_frames_are_on_time_again_or_to_the_end() -> None:
    catches_up, stays_late = Call(LIVE, Talk(0)), Call(LIVE, Talk(0))
    for number in range(100):
        sent, late = number * 0.02, number >= 30
        for call in (catches_up, stays_late):
            call.frames.append(sent)
        catches_up.reached.append((number, max(sent, 0.9) + 0.03 if late else sent + 0.03))
        stays_late.reached.append((number, sent + 0.33 if late else sent + 0.03))
    assert uplink(catches_up, 30).recoveries == [pytest.approx(0)]
    assert uplink(stays_late, 30).recoveries == [pytest.approx(69 * 20)]

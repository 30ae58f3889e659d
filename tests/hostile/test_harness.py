"""What measures the attacks can tell a relay that holds from one that does not."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.__main__ import BUSY_P99, FULL_SECONDS, SHORT_SECONDS
from tests.hostile.attacks import ATTACKS, forged
from tests.hostile.callers import MeasuredCall
from tests.hostile.engine import received
from tests.hostile.fast_loop import FastLoop
from tests.hostile.outcome import Outcome, page, table
from tests.hostile.own_clock import own_clock, own_timeout
from tests.hostile.radio import out_of_reach
from tests.hostile.trial import tried
from tests.hostile.wire import frame, token
from tests.websocket.ends import CONTINUATION, PING, TEXT

CI_SECONDS = 180.0
LAZY_P99 = 10_000.0
"""ms: what the call answers is in question here, not how fast other tests let it."""
OVERHEAD_SECONDS = 5.0
"""Beside an attack itself: a relay starts, a call begins, everything is as before again."""

GOOD = Outcome(
    name="tiny frames",
    seconds=10.0,
    round_trips=[2.0] * 1000,
    own_trips=[2.0] * 1000,
    ending=None,
    let_in=[20.0] * 9,
    refusals=[],
    shuts_out=False,
    back=True,
    left=0,
    before=90.0,
    most=300.0,
    after=100.0,
    lines=100,
)
STALLS = [2.0] * 980 + [300.0] * 20


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, []),
        ({"own_trips": STALLS}, ["p99 over 250 ms"]),
        ({"own_trips": []}, ["p99 over 250 ms"]),
        ({"round_trips": STALLS}, []),  # the machine's doing
        ({"ending": "1011 "}, ["the call ended"]),
        ({"refusals": ["1013 Server at capacity"]}, ["callers refused"]),
        ({"refusals": ["1013 Server at capacity"], "shuts_out": True}, []),
        ({"back": False}, ["nobody let in afterwards"]),
        ({"left": 3}, ["sessions left"]),
        ({"left": None}, ["sessions left"]),
        ({"after": 155.0}, ["memory over 64 MiB"]),
        ({"lines": 201}, ["over 20 log lines/s"]),
    ],
)
def test_each_bound_is_told_when_it_is_broken(changes: dict[str, Any], broken: list[str]) -> None:
    outcome = replace(GOOD, **changes)
    assert outcome.broken(BUSY_P99) == broken
    shown = table([outcome], BUSY_P99, "A machine.")
    assert all(name in shown for name in broken or ["| held |", "1 of 1 held"])


def test_the_page_is_one_that_markdown_shows() -> None:
    shown = page(table([GOOD], BUSY_P99, "A machine."), "2026-01-02", "abc1234")
    assert shown.startswith("# What a hostile caller costs the others, 2026-01-02\n")
    assert "`abc1234`" in shown
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 3


def test_a_stall_costs_every_question_that_falls_into_it() -> None:
    now = time.monotonic()
    call = MeasuredCall(None)  # type: ignore[arg-type] # the record alone
    call.asked = [now - 3 + 0.02 * number for number in range(100)]
    call.answered = [asked + 0.001 for asked in call.asked[:50]]
    trips = call.round_trips(now - 10, now)
    assert len(trips) == 100
    assert max(trips[:50]) < 2
    assert min(trips[50:]) >= 1000


def test_what_the_machine_took_is_left_out_of_a_round_trip() -> None:
    now = time.monotonic()
    call = MeasuredCall(None)  # type: ignore[arg-type] # the record alone
    call.asked, call.answered = [now - 1, now - 0.5], [now, now]
    call.own_asked = [(0.0, 0.0), (0.0, 0.0)]
    call.own_answered = [(0.004, 0.001), (0.004, 0.3)]
    assert call.round_trips(now - 2, now) == pytest.approx([1000, 500])
    assert call.own_round_trips(now - 2, now) == pytest.approx([4, 300])


def test_a_clock_stands_still_while_a_process_waits_for_a_cpu() -> None:
    """Work that is begun twice on one core takes twice as long, and half of that is waiting."""
    core = max(os.sched_getaffinity(0))
    work = "import time; until = time.process_time() + 0.2\nwhile time.process_time() < until: pass"
    pinned = ["taskset", "-c", str(core), sys.executable, "-c", work]
    with subprocess.Popen(pinned) as one, subprocess.Popen(pinned) as other:
        clock, began = own_clock([one.pid, other.pid], [core]), time.monotonic()
        before, most = clock(), 0.0
        while one.poll() is None or other.poll() is None:
            most = max(most, clock() - before)
    assert most < time.monotonic() - began - 0.1


async def test_a_timeout_by_such_a_clock_waits_longer() -> None:
    began, clock = time.monotonic(), lambda: (time.monotonic() - began) / 3
    with pytest.raises(TimeoutError):
        async with own_timeout(0.02, clock):
            await asyncio.sleep(60)
    assert time.monotonic() - began >= 0.06


def test_the_full_form_takes_little_more_than_half_an_hour() -> None:
    seconds = sum(min(FULL_SECONDS, one.most_seconds) for one in ATTACKS.values())
    assert seconds + len(ATTACKS) * OVERHEAD_SECONDS <= 35 * 60


def test_the_short_form_is_short() -> None:
    short = [one for one in ATTACKS.values() if one.short]
    assert len(short) * (SHORT_SECONDS + OVERHEAD_SECONDS) <= CI_SECONDS
    assert len(ATTACKS) > len(short)


def test_frames_of_an_attacker_are_what_they_say() -> None:
    ours, theirs = socket.socketpair()
    long = b"y" * 70_000
    sent = [(TEXT, b"{}"), (CONTINUATION, b""), (PING, b"x" * 125), (TEXT, b"z" * 126)]
    with theirs:
        with ours:
            ours.sendall(b"".join(frame(kind, payload) for kind, payload in sent))
            ours.sendall(frame(TEXT, long))
        seen = list(received(theirs))
    assert seen[:4] == sent
    assert seen[4][0] == TEXT
    assert long.startswith(seen[4][1])


def test_a_forged_token_is_whole_but_for_its_signature() -> None:
    good, bad = token("attacker").split("."), next(forged()).split(".")
    assert [len(part) for part in good] == [len(part) for part in bad]
    assert good[2] != bad[2]


def test_another_clock_moves_the_time_of_day_alone(tmp_path: Path) -> None:
    ahead, module = tmp_path / "ahead", tmp_path / "shown.py"
    ahead.write_text("-3600")
    module.write_text("import time; print(time.time(), time.clock_gettime(1), time.monotonic())")
    clocked = [sys.executable, "-m", "tests.hostile.other_clock", str(ahead)]
    root = Path(__file__).parents[2]
    shown = subprocess.run(
        [*clocked, "python", "-m", "shown"],
        env={"PYTHONPATH": f"{root}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    day, *still = map(float, shown)
    assert day == pytest.approx(time.time() - 3600, abs=30)
    assert still == [pytest.approx(time.monotonic(), abs=30)] * 2


async def test_what_was_sent_to_a_phone_out_of_reach_comes_when_it_is_back() -> None:
    arrived = asyncio.Event()
    phone = socket.socket()
    with socket.create_server(("127.0.0.1", 0)) as listener, phone:
        phone.connect(listener.getsockname())
        phone.setblocking(False)
        asyncio.get_running_loop().add_reader(phone, arrived.set)
        there, _ = listener.accept()
        with there:
            with out_of_reach(phone):
                there.sendall(b"hello")
                await asyncio.sleep(0)
                assert not arrived.is_set()
            await asyncio.wait_for(arrived.wait(), 30)
        assert phone.recv(10) == b"hello"
        asyncio.get_running_loop().remove_reader(phone)


def test_a_fast_loop_is_fast() -> None:
    began = time.monotonic()
    loop = FastLoop(100.0)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(asyncio.sleep(60))
        assert loop.unix() == pytest.approx(time.time() + 60, abs=30)
    assert 0.6 <= time.monotonic() - began < 30


async def test_where_nobody_attacks_every_bound_holds() -> None:
    outcome = await tried(ATTACKS["nobody attacks"], 1.0)
    assert outcome.broken(LAZY_P99) == [], outcome.line(BUSY_P99)
    assert len(outcome.round_trips) > 20
    assert outcome.let_in

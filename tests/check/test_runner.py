"""Checks that pass, are slow, hang or raise: each gives a result, and none hides another."""

import asyncio

import pytest

from relay.check.runner import Check, CheckResult, CheckTimeouts, fail, ok, run_checks, skip


async def passing() -> CheckResult:
    return ok("all is well")


async def hanging() -> CheckResult:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def raising() -> CheckResult:
    raise LookupError("with a secret in it")


async def lines_of(*checks: Check, timeouts: CheckTimeouts) -> list[str]:
    return [str(result) async for result in run_checks(checks, timeouts)]


def not_slow(*_: object) -> None:
    raise AssertionError("nothing was slow")


async def test_each_check_gives_a_result_in_order() -> None:
    checks = (Check("one", passing), Check("two", raising), Check("three", passing))

    assert await lines_of(*checks, timeouts=CheckTimeouts(not_slow)) == [
        "ok   one: all is well",
        "FAIL two: the check failed: LookupError (a bug in `relay check`)",
        "ok   three: all is well",
    ]


async def test_a_result_is_yielded_before_the_next_check_runs() -> None:
    checks = (Check("one", passing), Check("two", hanging))
    results = run_checks(checks, CheckTimeouts(not_slow))

    assert (await anext(results)).part == "one"


async def test_a_slow_check_is_reported_again_and_again() -> None:
    reports: list[tuple[str, float]] = []
    enough = asyncio.Event()

    async def slow() -> CheckResult:
        await enough.wait()
        return ok("at last")

    def report(name: str, seconds: float) -> None:
        reports.append((name, seconds))
        if len(reports) == 3:
            enough.set()

    found = await lines_of(Check("slow", slow), timeouts=CheckTimeouts(report, slow_seconds=0.01))

    assert found == ["ok   slow: at last"]
    assert [name for name, _ in reports] == ["slow"] * 3
    assert [seconds for _, seconds in reports] == sorted(seconds for _, seconds in reports)
    assert reports[0][1] >= 0.01


async def test_a_check_that_hangs_is_ended() -> None:
    timeouts = CheckTimeouts(lambda *_: None, slow_seconds=10, max_seconds=0.02)
    found = await lines_of(Check("hangs", hanging), Check("one", passing), timeouts=timeouts)

    assert found == [
        "FAIL hangs: no answer in 0 s (find out what it is waiting for)",
        "ok   one: all is well",
    ]


async def test_a_timeout_error_of_a_check_is_not_taken_for_the_limit() -> None:
    async def times_out() -> CheckResult:
        raise TimeoutError

    (found,) = await lines_of(Check("one", times_out), timeouts=CheckTimeouts(not_slow))

    assert found.startswith("FAIL one: the check failed: TimeoutError")


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (ok("in use"), "ok   journal: in use"),
        (ok("in use", "it could be faster"), "ok   journal: in use (it could be faster)"),
        (fail("damaged", "move it away"), "FAIL journal: damaged (move it away)"),
        (skip("not built"), "skip journal: not built"),
    ],
)
def test_a_result_is_one_line(result: CheckResult, line: str) -> None:
    assert str(CheckResult(result.state, result.what, result.hint, "journal")) == line

"""Parts that are well, slow, stuck and broken; each becomes a finding and none hides another."""

import asyncio

from relay.check.runner import Check, CheckResult, CheckTimeouts, examine, ok


async def well() -> CheckResult:
    return ok("all is well")


async def stuck() -> CheckResult:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def broken() -> CheckResult:
    raise LookupError("with a secret in it")


async def examined(*parts: Check, patience: CheckTimeouts) -> list[str]:
    return [str(finding) async for finding in examine(parts, patience)]


def tell_nobody(*_: object) -> None:
    raise AssertionError("nothing was slow")


async def test_each_part_becomes_a_finding_in_order() -> None:
    parts = (Check("one", well), Check("two", broken), Check("three", well))

    assert await examined(*parts, patience=CheckTimeouts(tell_nobody)) == [
        "ok   one: all is well",
        "FAIL two: could not be looked at: LookupError (a fault of `relay check`)",
        "ok   three: all is well",
    ]


async def test_a_finding_comes_as_soon_as_it_is_there() -> None:
    parts = (Check("one", well), Check("two", stuck))
    findings = examine(parts, CheckTimeouts(tell_nobody))

    assert (await anext(findings)).part == "one"


async def test_what_is_slow_is_told_again_and_again() -> None:
    told: list[tuple[str, float]] = []
    enough = asyncio.Event()

    async def slow() -> CheckResult:
        await enough.wait()
        return ok("at last")

    def tell(part: str, seconds: float) -> None:
        told.append((part, seconds))
        if len(told) == 3:
            enough.set()

    found = await examined(Check("slow", slow), patience=CheckTimeouts(tell, slow_seconds=0.01))

    assert found == ["ok   slow: at last"]
    assert [part for part, _ in told] == ["slow"] * 3
    assert [seconds for _, seconds in told] == sorted(seconds for _, seconds in told)
    assert told[0][1] >= 0.01


async def test_what_never_answers_is_given_up() -> None:
    patience = CheckTimeouts(lambda *_: None, slow_seconds=10, longest_seconds=0.02)
    found = await examined(Check("stuck", stuck), Check("one", well), patience=patience)

    assert found == [
        "FAIL stuck: no answer in 0 s (see what it waits for)",
        "ok   one: all is well",
    ]


async def test_a_timeout_of_its_own_is_no_giving_up() -> None:
    async def gives_up() -> CheckResult:
        raise TimeoutError

    (found,) = await examined(Check("one", gives_up), patience=CheckTimeouts(tell_nobody))

    assert found.startswith("FAIL one: could not be looked at: TimeoutError")

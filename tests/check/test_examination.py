"""Parts that are well, slow, stuck and broken; each becomes a finding and none hides another."""

import asyncio

from relay.check.runner import Finding, Part, Patience, examine, ok


async def well() -> Finding:
    return ok("all is well")


async def stuck() -> Finding:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def broken() -> Finding:
    raise LookupError("with a secret in it")


async def examined(*parts: Part, patience: Patience) -> list[str]:
    return [str(finding) async for finding in examine(parts, patience)]


def tell_nobody(*_: object) -> None:
    raise AssertionError("nothing was slow")


async def test_each_part_becomes_a_finding_in_order() -> None:
    parts = (Part("one", well), Part("two", broken), Part("three", well))

    assert await examined(*parts, patience=Patience(tell_nobody)) == [
        "ok   one: all is well",
        "FAIL two: could not be looked at: LookupError (a fault of `relay check`)",
        "ok   three: all is well",
    ]


async def test_a_finding_comes_as_soon_as_it_is_there() -> None:
    parts = (Part("one", well), Part("two", stuck))
    findings = examine(parts, Patience(tell_nobody))

    assert (await anext(findings)).part == "one"


async def test_what_is_slow_is_told_again_and_again() -> None:
    told: list[tuple[str, float]] = []
    enough = asyncio.Event()

    async def slow() -> Finding:
        await enough.wait()
        return ok("at last")

    def tell(part: str, seconds: float) -> None:
        told.append((part, seconds))
        if len(told) == 3:
            enough.set()

    found = await examined(Part("slow", slow), patience=Patience(tell, slow_seconds=0.01))

    assert found == ["ok   slow: at last"]
    assert [part for part, _ in told] == ["slow"] * 3
    assert [seconds for _, seconds in told] == sorted(seconds for _, seconds in told)
    assert told[0][1] >= 0.01


async def test_what_never_answers_is_given_up() -> None:
    patience = Patience(lambda *_: None, slow_seconds=10, longest_seconds=0.02)
    found = await examined(Part("stuck", stuck), Part("one", well), patience=patience)

    assert found == [
        "FAIL stuck: no answer in 0 s (see what it waits for)",
        "ok   one: all is well",
    ]


async def test_a_timeout_of_its_own_is_no_giving_up() -> None:
    async def gives_up() -> Finding:
        raise TimeoutError

    (found,) = await examined(Part("one", gives_up), patience=Patience(tell_nobody))

    assert found.startswith("FAIL one: could not be looked at: TimeoutError")

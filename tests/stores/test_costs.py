"""Usage reports with calls over midnight, without an end and without a price."""

import pytest

from relay.realtime.billing.usage import Usage
from relay.stores.costs import DAY_SECONDS, CallTime, GroupBy, SessionUsage, usage_report

DAY = 20_000
NOON = DAY * DAY_SECONDS + 43_200.0
MIDNIGHT = (DAY + 1) * DAY_SECONDS


def call(
    session: str, begin: float = NOON, lasted: float | None = 120.0, user: str = "ada"
) -> CallTime:
    end = None if lasted is None else begin + lasted
    return CallTime(session=session, user=user, agent="a", started_at=begin, ended_at=end)


def used(
    session: str, micro: int | None, day: int = DAY, model: str = "m", user: str = "ada"
) -> SessionUsage:
    usage = Usage(audio_in=10, audio_out=20)
    return SessionUsage(
        session=session, user=user, agent="a", day=day, model=model, usage=usage, micro=micro
    )


def test_dollars_a_minute_are_of_the_conversation_not_of_its_models() -> None:
    made = usage_report("session", 0, [call("s")], [used("s", 900), used("s", 100, model="t")])
    (cost,) = made.costs.values()
    assert (cost.seconds, cost.micro, cost.micro_per_minute) == (120, 1000, 500)
    assert cost.usage == Usage(audio_in=20, audio_out=40)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("session", {"s": 1, "z": 5}),
        ("user", {"ada": 1, "bob": 5}),
        ("agent", {"a": 6}),
        ("day", {DAY: 6}),
        ("model", {"m": 6}),
    ],
)
def test_the_same_costs_are_grouped_by_every_name(by: GroupBy, names: dict[str | int, int]) -> None:
    calls = [call("s"), call("z", user="bob")]
    made = usage_report(by, 0, calls, [used("s", 1), used("z", 5, user="bob")])
    assert {name: cost.micro for name, cost in made.costs.items()} == names
    assert (made.total.micro, made.total.seconds, len(made.total.sessions)) == (6, 240, 2)
    assert sum(cost.seconds for cost in made.costs.values()) == 240


def test_a_call_over_midnight_belongs_to_both_days() -> None:
    calls = [call("s", MIDNIGHT - 60, 60 + 180)]
    lines = [used("s", 100), used("s", 600, day=DAY + 1)]
    made = usage_report("day", 0, calls, lines)
    assert {day: cost.seconds for day, cost in made.costs.items()} == {DAY: 60, DAY + 1: 180}
    assert [cost.micro_per_minute for cost in made.costs.values()] == [100, 200]
    assert len(made.total.sessions) == 1
    later = usage_report("user", DAY + 1, calls, lines)
    assert (later.total.seconds, later.total.micro) == (180, 600)


def test_a_call_of_two_days_has_all_its_seconds() -> None:
    made = usage_report("day", 0, [call("s", NOON, 2 * DAY_SECONDS)], [])
    assert [cost.seconds for cost in made.costs.values()] == [43_200, 86_400, 43_200]


def test_a_call_that_ends_at_midnight_is_not_of_the_next_day() -> None:
    assert list(usage_report("day", 0, [call("s", MIDNIGHT - 9, 9)], []).costs) == [DAY]


def test_a_models_cost_by_the_minute_covers_the_calls_that_used_it() -> None:
    calls = [call("s"), call("z", lasted=60), call("silent", lasted=600)]
    lines = [used("s", 200), used("z", 100), used("s", 30, model="t")]
    made = usage_report("model", 0, calls, lines)
    assert (made.costs["m"].seconds, made.costs["t"].seconds) == (180, 120)
    assert (made.costs["m"].micro_per_minute, made.costs["t"].micro_per_minute) == (100, 15)
    assert made.total.seconds == 780, "each call once"


def test_a_call_without_an_end_costs_but_not_by_the_minute() -> None:
    calls = [call("s"), call("open", lasted=None)]
    made = usage_report("user", 0, calls, [used("s", 100), used("open", 70), used("unheard-of", 1)])
    total = made.total
    assert (total.micro, total.micro_per_minute, total.seconds) == (171, 50, 120)
    assert total.unended == {"open", "unheard-of"}


def test_a_model_without_a_price_makes_the_sum_unknown_and_is_named() -> None:
    made = usage_report("user", 0, [call("s")], [used("s", 100), used("s", None, model="new")])
    assert (made.total.micro, made.total.micro_per_minute) == (100, None)
    assert made.total.unpriced == {"new"}


def test_without_time_there_is_no_cost_by_the_minute() -> None:
    assert (
        usage_report("day", 0, [call("s", lasted=0)], [used("s", 5)]).total.micro_per_minute is None
    )
    assert usage_report("day", 0, [], []).total.micro_per_minute is None


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert usage_report("day", 0, [call("s", lasted=-5)], []).total.seconds == 0

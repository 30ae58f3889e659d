import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.metrics import LAG_PERIOD, MAX_CAUSES, NAMES, Metrics, measure_loop_lag


def numbers(metrics: Metrics) -> dict[str, float]:
    """Every sample of a scrape by its name and labels, as Prometheus would read it."""
    return {
        sample.name + "".join(f"|{key}={value}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def with_every_gauge() -> Metrics:
    metrics = Metrics()
    metrics.sessions_active(lambda: 7)
    metrics.journal(depth=lambda: 3, oldest_seconds=lambda: 1.5, set_aside=lambda: 1)
    metrics.journal_failures(retries=lambda: 2, lost=lambda: 0)
    metrics.store_failures(lambda: {("DatabaseFailing", "503"): 4})
    return metrics


def test_traffic_is_counted_as_integers_and_read_at_the_scrape():
    metrics = Metrics()
    metrics.traffic.frames_up += 2
    metrics.traffic.bytes_up += 2600
    metrics.traffic.frames_down += 1
    metrics.traffic.bytes_down += 16200

    read = numbers(metrics)

    assert read["relay_frames_total|direction=up"] == 2
    assert read["relay_bytes_total|direction=up"] == 2600
    assert read["relay_frames_total|direction=down"] == 1
    assert read["relay_bytes_total|direction=down"] == 16200


def test_a_session_is_counted_by_door_and_ending():
    metrics = Metrics()
    metrics.session_started("browser")
    metrics.session_started("openai")
    metrics.session_ended("browser", "idle", 301.0)

    read = numbers(metrics)

    assert read["relay_sessions_started_total|door=browser"] == 1
    assert read["relay_sessions_started_total|door=openai"] == 1
    assert read["relay_sessions_ended_total|door=browser|ending=idle"] == 1
    assert read["relay_session_seconds_count"] == 1
    assert read["relay_session_seconds_sum"] == 301.0


def test_an_engine_that_connects_is_timed_and_a_refusal_is_counted():
    metrics = Metrics()
    metrics.engine_connected(0.24)
    metrics.engine_refused("engine_timed_out")

    read = numbers(metrics)

    assert read["relay_engine_connect_seconds_bucket|le=0.2"] == 0
    assert read["relay_engine_connect_seconds_bucket|le=0.3"] == 1
    assert read["relay_engine_refused_total|ending=engine_timed_out"] == 1


def test_S3_39_S3_75_retries_and_lost_records_of_the_journal_are_counted():
    counts = {"retries": 0, "lost": 0}
    metrics = Metrics()
    metrics.journal_failures(retries=lambda: counts["retries"], lost=lambda: counts["lost"])
    counts |= {"retries": 2, "lost": 1}
    read = numbers(metrics)
    assert read["relay_journal_retries_total"] == 2
    assert read["relay_journal_lost_total"] == 1


def test_a_commit_is_timed():
    metrics = Metrics()
    for seconds in (0.012, 0.049, 0.2):
        metrics.committed(seconds)
    read = numbers(metrics)
    assert read["relay_journal_commit_seconds_bucket|le=0.01"] == 0
    assert read["relay_journal_commit_seconds_bucket|le=0.05"] == 2
    assert read["relay_journal_commit_seconds_count"] == 3


def test_a_gauge_is_read_at_every_scrape():
    live = [1.0]
    metrics = Metrics()
    metrics.sessions_active(lambda: live[0])
    assert numbers(metrics)["relay_sessions_active"] == 1
    live[0] = 2.0
    assert numbers(metrics)["relay_sessions_active"] == 2


def test_the_list_of_names_is_that_of_a_scrape():
    families = text_string_to_metric_families(with_every_gauge().render().decode())
    shown = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if family.name.startswith("relay_")
    }
    assert shown == set(NAMES)


def test_every_metric_is_documented():
    for family in text_string_to_metric_families(with_every_gauge().render().decode()):
        assert len(family.documentation) > 10, family.name


def test_a_gauge_with_an_unlisted_name_is_refused():
    with pytest.raises(ValueError, match="relay_surprise"):
        Metrics().gauge("relay_surprise", "Not written down anywhere.", lambda: 0)


def test_two_sets_of_metrics_share_no_registry():
    first, second = Metrics(), Metrics()
    first.session_started("browser")
    assert "relay_sessions_started_total|door=browser" not in numbers(second)


async def test_the_lag_is_how_late_the_loop_comes_to_its_timer():
    metrics = Metrics()
    now = [100.0]
    late = [0.0, 0.3, -0.001]  # a timer may even come a little early: that is no lag

    async def sleep(seconds: float) -> None:
        assert seconds == LAG_PERIOD
        if not late:
            raise asyncio.CancelledError
        now[0] += seconds + late.pop(0)

    with pytest.raises(asyncio.CancelledError):
        await measure_loop_lag(metrics, clock=lambda: now[0], sleep=sleep)

    read = numbers(metrics)
    assert read["relay_event_loop_lag_seconds_count"] == 3
    assert read["relay_event_loop_lag_seconds_sum"] == pytest.approx(0.3)
    assert read["relay_event_loop_lag_seconds_bucket|le=0.001"] == 2


def test_trouble_upstream_is_counted_by_what_it_was():
    metrics = with_every_gauge()
    metrics.engine_unreachable("dns", "dns")
    metrics.engine_trouble("response", "insufficient_quota")
    read = numbers(metrics)
    assert read["relay_engine_unreachable_total|kind=dns|stage=dns"] == 1
    assert read["relay_engine_troubles_total|code=insufficient_quota|part=response"] == 1
    assert read["relay_store_failures_total|reason=DatabaseFailing|status=503"] == 4


def test_causes_of_refusals_are_a_bounded_number_of_labels():
    metrics = Metrics()
    for number in range(2 * MAX_CAUSES):
        metrics.caller_refused(f"cause {number}")
    metrics.caller_refused("cause 0")
    causes = {name: n for name, n in numbers(metrics).items() if "relay_refusals" in name}
    assert len(causes) == MAX_CAUSES + 1
    assert causes["relay_refusals_total|cause=cause 0"] == 2
    assert causes["relay_refusals_total|cause=other"] == MAX_CAUSES

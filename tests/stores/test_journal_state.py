from relay.stores.journal_state import LATENCIES_KEPT, Latencies


def test_no_commit_yet_is_no_time() -> None:
    assert Latencies().percentile_ms(0.99) == 0.0


def test_percentiles_in_milliseconds() -> None:
    latencies = Latencies()
    for milliseconds in range(100, 0, -1):
        latencies.add(milliseconds / 1000)
    assert latencies.percentile_ms(0.50) == 51
    assert latencies.percentile_ms(0.99) == 100
    assert latencies.percentile_ms(1.0) == 100


def test_only_the_latest_count() -> None:
    latencies = Latencies()
    latencies.add(60.0)
    for _ in range(LATENCIES_KEPT):
        latencies.add(0.001)
    assert latencies.percentile_ms(1.0) == 1.0

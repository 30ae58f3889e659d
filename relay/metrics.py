"""Prometheus metrics: sessions, traffic, endings, the engine, the event loop, the journal."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

Number = Callable[[], float]
"""Returns a number at every scrape; it must not block."""

LAG_PERIOD = 1.0
"""Seconds between two measurements of the event loop's lag."""

NAMES = (
    "relay_sessions_active",
    "relay_sessions_started_total",
    "relay_sessions_ended_total",
    "relay_session_seconds",
    "relay_frames_total",
    "relay_bytes_total",
    "relay_engine_connect_seconds",
    "relay_engine_refused_total",
    "relay_events_repaired_total",
    "relay_auth_checks_total",
    "relay_engine_unreachable_total",
    "relay_engine_troubles_total",
    "relay_refusals_total",
    "relay_store_failures_total",
    "relay_tokens_total",
    "relay_speech_total",
    "relay_cost_dollars_total",
    "relay_event_loop_lag_seconds",
    "relay_journal_depth",
    "relay_journal_oldest_seconds",
    "relay_journal_set_aside",
    "relay_journal_commit_seconds",
    "relay_journal_retries_total",
    "relay_journal_lost_total",
    "relay_part_first_seconds",
    "relay_part_seconds",
    "relay_part_failures_total",
    "relay_part_queue",
    "relay_models_replaced_total",
)
"""Every metric of the relay, as the docs list them; `process_*` comes with the client library."""

MAX_CAUSES = 64
"""Causes of refusals that are labels; further ones are `other`. The relay's own texts are fewer."""

_SESSION_SECONDS = (1, 5, 15, 60, 180, 300, 600, 900, 1800, 3600)
_CONNECT_SECONDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)
_COMMIT_SECONDS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1, 5)
_PART_SECONDS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
_LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


class Traffic:
    """Frames and bytes relayed; up is towards the engine.

    Plain integers that every session adds to on the hot path, where a method call of a metrics
    library would cost more than the addition.
    """

    __slots__ = ("bytes_down", "bytes_up", "frames_down", "frames_up")

    def __init__(self) -> None:
        self.frames_up = 0
        self.bytes_up = 0
        self.frames_down = 0
        self.bytes_down = 0


class _TrafficCollector(Collector):
    """Turns the plain integers into counters at a scrape."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[CounterMetricFamily]:
        traffic = self._traffic
        frames = CounterMetricFamily(
            "relay_frames",
            "Frames relayed, by direction (up: to the engine).",
            labels=["direction"],
        )
        frames.add_metric(["up"], traffic.frames_up)
        frames.add_metric(["down"], traffic.frames_down)
        yield frames
        octets = CounterMetricFamily(
            "relay_bytes",
            "Bytes of the frames relayed, by direction (up: to the engine).",
            labels=["direction"],
        )
        octets.add_metric(["up"], traffic.bytes_up)
        octets.add_metric(["down"], traffic.bytes_down)
        yield octets


class _CountCollector(Collector):
    """A counter whose value another object keeps."""

    def __init__(self, name: str, text: str, number: Number) -> None:
        self._name, self._text, self._number = name, text, number

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._text, value=self._number())


class _StoreFailureCollector(Collector):
    """The store's failures, which the delivery counts."""

    def __init__(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "relay_store_failures",
            "Times the store did not take what it was given, by error and HTTP status.",
            labels=["reason", "status"],
        )
        for labels, count in self._counts().items():
            family.add_metric(labels, count)
        yield family


class Metrics:
    """The metrics of one process, in a registry of their own.

    Labels come only from the relay's own tables (doors, endings), so that their number is bounded
    and nothing a client sent becomes one.
    """

    def __init__(self) -> None:
        # Without this every counter has a second series that nothing reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in the client library
        self._registry = CollectorRegistry()
        self.traffic = Traffic()
        self._registry.register(_TrafficCollector(self.traffic))
        ProcessCollector(registry=self._registry)
        self._started = self._counter(
            "relay_sessions_started_total", "Sessions started, by door.", "door"
        )
        self._ended = self._counter(
            "relay_sessions_ended_total", "Sessions ended, by door and ending.", "door", "ending"
        )
        self._seconds = self._histogram(
            "relay_session_seconds", "How long sessions lasted.", _SESSION_SECONDS
        )
        self._connect = self._histogram(
            "relay_engine_connect_seconds",
            "Time from asking an engine for a voice to its session.created.",
            _CONNECT_SECONDS,
        )
        self._refused = self._counter(
            "relay_engine_refused_total",
            "Times an engine could not be reached or refused, by the ending this led to.",
            "ending",
        )
        self._repaired = self._counter(
            "relay_events_repaired_total",
            "Events that could only be read leniently, by sender (client, engine).",
            "sender",
        )
        self._checks = self._counter(
            "relay_auth_checks_total",
            "Questions to the authentication server whether a user exists, by outcome.",
            "outcome",
        )
        self._unreachable, self._troubles, self._refusals = self._make_trouble_counters()
        self._causes: set[str] = set()
        self._tokens = self._counter(
            "relay_tokens_total",
            "Tokens that ended sessions used, by kind; cached ones are in too.",
            "kind",
        )
        self._speech = self._counter(
            "relay_speech_total",
            "Speech that ended sessions had transcribed or made by models not billed by tokens.",
            "unit",
        )
        self._cost = self._counter(
            "relay_cost_dollars_total", "What ended sessions cost, as far as prices are known."
        )
        self._replaced = self._counter(
            "relay_models_replaced_total",
            "Answers by another model than the caller named, which the back end does not have.",
        )
        self._lag, self._commit = self._make_delay_histograms()
        self.parts = PartMetrics(self._registry)

    def _make_trouble_counters(self) -> tuple[Counter, Counter, Counter]:
        """Those of what goes wrong at the provider and at the door."""
        unreachable = self._counter(
            "relay_engine_unreachable_total",
            "Connections to an engine that could not be opened, by how and at which stage.",
            *("kind", "stage"),
        )
        troubles = self._counter(
            "relay_engine_troubles_total",
            "Failures that an engine reported, by what failed and the provider's code.",
            *("part", "code"),
        )
        refusals = self._counter(
            "relay_refusals_total", "Callers and fresh tokens that were refused, by cause.", "cause"
        )
        return unreachable, troubles, refusals

    def _make_delay_histograms(self) -> tuple[Histogram, Histogram]:
        """Those of the event loop and of the journal."""
        lag = self._histogram(
            "relay_event_loop_lag_seconds",
            "How late the event loop came to a timer, measured once a second.",
            _LAG_SECONDS,
        )
        commit = self._histogram(
            "relay_journal_commit_seconds",
            "Time from a record's receipt to its commit on disk.",
            _COMMIT_SECONDS,
        )
        return lag, commit

    def session_started(self, door: str) -> None:
        """Count a started session."""
        self._started.labels(door).inc()

    def session_ended(self, door: str, ending: str, seconds: float) -> None:
        """Count an ended session; `ending` is a name of `realtime.endings`."""
        self._ended.labels(door, ending).inc()
        self._seconds.observe(seconds)

    def engine_connected(self, seconds: float) -> None:
        """Observe how many seconds an engine took to its `session.created`."""
        self._connect.observe(seconds)

    def engine_refused(self, ending: str) -> None:
        """Count an engine that refused a session or could not be reached."""
        self._refused.labels(ending).inc()

    def event_repaired(self, sender: str) -> None:
        """Count an event with half a surrogate pair, from the "client" or the "engine"."""
        self._repaired.labels(sender).inc()

    def user_checked(self, outcome: str) -> None:
        """Count a question about a user: `confirmed`, `refused` or `unavailable`."""
        self._checks.labels(outcome).inc()

    def engine_unreachable(self, kind: str, stage: str) -> None:
        """Count a connection to an engine that could not be opened."""
        self._unreachable.labels(kind, stage).inc()

    def engine_trouble(self, part: str, code: str) -> None:
        """Count a failure that an engine reported; `code` is one of a few."""
        self._troubles.labels(part, code).inc()

    def caller_refused(self, cause: str) -> None:
        """Count a refused caller or token; beyond `MAX_CAUSES` causes it is `other`."""
        if cause not in self._causes and len(self._causes) >= MAX_CAUSES:
            cause = "other"
        self._causes.add(cause)
        self._refusals.labels(cause).inc()

    def used(self, tokens: Mapping[str, int], speech: Mapping[str, float], dollars: float) -> None:
        """Count what a session used and its cost.

        Tokens are by kind (`text_in`, `audio_out` …), speech is in `characters` and in `seconds`.
        """
        for kind, count in tokens.items():
            self._tokens.labels(kind).inc(count)
        for unit, amount in speech.items():
            self._speech.labels(unit).inc(amount)
        self._cost.inc(dollars)

    def model_replaced(self) -> None:
        """Count an answer by another model than the one that was asked for."""
        self._replaced.inc()

    def committed(self, seconds: float) -> None:
        """Observe how many seconds a record took from its receipt to the disk."""
        self._commit.observe(seconds)

    def loop_lag(self, seconds: float) -> None:
        """Observe how many seconds late the event loop came to a timer."""
        self._lag.observe(seconds)

    def sessions_active(self, number: Number) -> None:
        """Set where the number of live sessions is read."""
        self.gauge("relay_sessions_active", "Sessions that are live now.", number)

    def journal(self, *, depth: Number, oldest_seconds: Number, set_aside: Number) -> None:
        """Set where the journal's state is read."""
        self.gauge("relay_journal_depth", "Records on disk that no store has taken yet.", depth)
        self.gauge(
            "relay_journal_oldest_seconds",
            "Age of the oldest record that no store has taken yet, 0 when there is none.",
            oldest_seconds,
        )
        self.gauge(
            "relay_journal_set_aside",
            "Records that the store refused for good and that were set aside.",
            set_aside,
        )

    def journal_failures(self, *, retries: Number, lost: Number) -> None:
        """Set where the journal's failures are counted."""
        counts = (
            ("relay_journal_retries", "Times the store did not take what it was given.", retries),
            ("relay_journal_lost", "Records that never reached the disk.", lost),
        )
        for name, text, number in counts:
            self._registry.register(_CountCollector(name, text, number))

    def store_failures(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Set where the store's failures are counted, by the error's class and its HTTP status."""
        self._registry.register(_StoreFailureCollector(counts))

    def gauge(self, name: str, text: str, number: Number) -> None:
        """Add a number that is read at every scrape.

        Raises `ValueError` for a name that is not in `NAMES`: the docs would not have it.
        """
        if name not in NAMES:
            raise ValueError(f"{name} is not in relay.metrics.NAMES")
        Gauge(name, text, registry=self._registry).set_function(number)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self._registry)


class PartMetrics:
    """The metrics of a cascade's parts, a `relay.parts.measuring.PartObserver`.

    A model's name comes from the settings, so that the number of labels is bounded.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._first = Histogram(
            "relay_part_first_seconds",
            "Time from asking a part of the cascade to the first piece of its result.",
            ("part", "model"),
            buckets=_PART_SECONDS,
            registry=registry,
        )
        self._seconds = Histogram(
            "relay_part_seconds",
            "Time from asking a part of the cascade to the end of its work.",
            ("part", "model"),
            buckets=_PART_SECONDS,
            registry=registry,
        )
        self._failures = Counter(
            "relay_part_failures_total",
            "Work that a part of the cascade did not do, by reason.",
            ("part", "model", "code"),
            registry=registry,
        )
        self._queue = Gauge(
            "relay_part_queue",
            "Work that parts of the cascade are doing or have waiting.",
            ("part",),
            registry=registry,
        )

    def part_started(self, part: str) -> None:
        """Count work that was given to a part."""
        self._queue.labels(part).inc()

    def part_answered(self, part: str, model: str, seconds: float) -> None:
        """Observe the first piece of a result."""
        self._first.labels(part, model).observe(seconds)

    def part_ended(self, part: str, model: str, seconds: float, outcome: str) -> None:
        """Observe the end of work: `ok`, `cancelled` or why it failed."""
        self._queue.labels(part).dec()
        self._seconds.labels(part, model).observe(seconds)
        if outcome not in ("ok", "cancelled"):
            self._failures.labels(part, model, outcome).inc()


async def measure_loop_lag(
    metrics: Metrics,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Measure until cancelled, once every `LAG_PERIOD`, how late the event loop is."""
    while True:
        due = clock() + LAG_PERIOD
        await sleep(LAG_PERIOD)
        metrics.loop_lag(max(0.0, clock() - due))

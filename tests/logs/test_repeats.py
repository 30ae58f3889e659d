"""The limit of repeated lines: what is the same line, what is told of it, and what it may cost."""

import logging
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from relay.logs import configure
from relay.logs.repeats import (
    MAX_OF_LOGGER,
    MAX_OF_SESSIONS,
    MAX_TEXT,
    MAX_WINDOWS,
    WINDOW_SECONDS,
    LineGate,
    LineKey,
    RepeatLimit,
    Repetitions,
)
from tests.logs.lines import file_lines

LOST = LineKey(logging.WARNING, "asyncio", "write() called after connection lost")


def told(limit: RepeatLimit, now: float) -> list[tuple[str, int, float]]:
    return [(one.key.message, one.times, one.seconds) for one in limit.ended(now)]


# ------------------------------------------------------------------------------------- the rule


def test_the_first_is_written_and_the_others_are_counted_until_the_window_ends() -> None:
    limit = RepeatLimit()
    assert limit.next_end is None
    assert limit.admit(LOST, 5.0)
    assert [limit.admit(LOST, 5.0 + n / 100) for n in range(500)] == [False] * 500
    assert limit.next_end == 5.0 + WINDOW_SECONDS
    assert told(limit, 14.99) == []
    assert told(limit, 15.0) == [(LOST.message, 500, 10.0)]

    assert limit.next_end is None
    assert limit.admit(LOST, 15.0), "a fresh one in the next window"


def test_a_line_that_comes_once_is_not_told_again() -> None:
    limit = RepeatLimit()
    assert limit.admit(LOST, 0.0)
    assert limit.ended(60.0) == []
    assert limit.next_end is None


def test_what_comes_before_the_end_is_told_is_counted_with_it() -> None:
    """The thread that tells may be held up, by a slow disk: nothing grows meanwhile."""
    limit = RepeatLimit()
    for second in range(60):
        limit.admit(LOST, float(second))
    assert told(limit, 60.0) == [(LOST.message, 59, 60.0)]


def test_at_shutdown_the_rest_is_told() -> None:
    limit = RepeatLimit()
    for key in (LOST, LOST, LOST, LOST._replace(level=logging.ERROR)):
        limit.admit(key, 1.0)
    assert limit.rest(3.5) == [Repetitions(LOST, 2, 2.5)]
    assert limit.rest(3.5) == []


@pytest.mark.parametrize(
    "other",
    [
        LOST._replace(level=logging.ERROR),
        LOST._replace(logger="uvloop"),
        LOST._replace(message="socket.send() raised exception."),
        LOST._replace(kind="ConnectionResetError"),
        LOST._replace(session="s-1"),
    ],
)
def test_a_distinct_line_is_never_swallowed(other: LineKey) -> None:
    limit = RepeatLimit()
    for _ in range(1000):
        limit.admit(LOST, 0.0)
    assert limit.admit(other, 0.1)


def test_texts_without_a_template_are_bounded_for_each_logger() -> None:
    limit = RepeatLimit()
    admitted = [limit.admit(LOST._replace(message=f"lost {n}"), 0.0) for n in range(1000)]
    assert sum(admitted) == MAX_OF_LOGGER + 1
    assert limit.admit(LOST._replace(logger="another"), 0.0)
    assert told(limit, 10.0) == [("", 1000 - MAX_OF_LOGGER - 1, 10.0)]


def test_the_lines_of_all_sessions_are_bounded_together() -> None:
    limit, started = RepeatLimit(), LineKey(logging.INFO, "relay.session", "session started")
    ended = started._replace(message="session ended")
    admitted = [
        limit.admit(key._replace(session=f"s-{n}"), 0.0)
        for n in range(1000)
        for key in (started, ended)
    ]
    assert sum(admitted) == MAX_OF_SESSIONS + 2, "and one for each message"
    assert sum(admitted) / WINDOW_SECONDS < 20
    warning = started._replace(level=logging.WARNING, message="session setup failed")
    assert limit.admit(warning, 0.0)
    each = 1000 - MAX_OF_SESSIONS // 2 - 1
    assert sorted(told(limit, 10.0)) == [
        ("session ended", each, 10.0),
        ("session started", each, 10.0),
    ]


def test_under_any_flood_its_memory_is_bounded() -> None:
    limit = RepeatLimit()
    tracemalloc.start()
    try:
        for n in range(10 * MAX_WINDOWS):
            key = LineKey(logging.INFO, f"logger {n}", "x" * (MAX_TEXT - 6) + str(n), "k", f"s-{n}")
            limit.admit(key, n / 100_000)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8 * 2**20
    assert len(limit._open) <= MAX_WINDOWS + 1
    limit.rest(10.0)
    assert not limit._open
    assert not limit._sizes, "nothing of a closed window stays"


# --------------------------------------------------------------------------- in front of loggers


class Hand:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def gate(hand: Hand) -> LineGate:
    return LineGate(hand)


def record(message: object, *args: object, **fields: Any) -> logging.LogRecord:
    named = {"name": "library", "levelno": logging.WARNING, "msg": message, "args": args}
    return logging.makeLogRecord(named | fields)


def passes(gate: LineGate, event: str, method: str = "warning", **fields: Any) -> bool:
    try:
        gate.process(logging.getLogger("relay.test"), method, {"event": event, **fields})
    except structlog.DropEvent:
        return False
    return True


def test_of_a_library_the_template_counts_and_not_its_values(gate: LineGate) -> None:
    assert gate.admits(record("%s is slow", "one"))
    assert not gate.admits(record("%s is slow", "another"))
    assert gate.admits(record("%s is fast", "one"))
    assert gate.admits(record("%s is slow", "one", levelno=logging.ERROR))


def test_numbers_in_a_ready_text_are_values_but_for_short_ones(gate: LineGate) -> None:
    lost = "Exception in callback Transport.close()\nhandle: <Handle at 0x7f{}, port {}>"
    assert gate.admits(record(lost.format("00aa11", 40112)))
    assert not gate.admits(record(lost.format("ffee22", 50113)))
    assert gate.admits(record("answered with 500"))
    assert gate.admits(record("answered with 503"))


def test_another_exception_is_another_line(gate: LineGate) -> None:
    def faulty(error: Exception) -> bool:
        return gate.admits(record("request failed", exc_info=(type(error), error, None)))

    assert faulty(ValueError("a"))
    assert not faulty(ValueError("b"))
    assert faulty(KeyError("a"))
    assert passes(gate, "failed", exc_info=ValueError("a"))
    assert not passes(gate, "failed", exc_info=ValueError("b"))
    assert passes(gate, "failed", exc_info=KeyError("a"))


def test_of_structlog_the_event_counts_and_not_its_values(gate: LineGate) -> None:
    assert passes(gate, "queue is long", depth=1)
    assert not passes(gate, "queue is long", depth=2)
    assert passes(gate, "queue is short", depth=1)
    assert passes(gate, "queue is long", "error", depth=1)


def test_another_case_of_a_line_is_another_line(gate: LineGate) -> None:
    endings = ["unauthorized", "forbidden", "unauthorized", "at_capacity", "unauthorized"]
    passed = [passes(gate, "session ended", "info", ending=ending) for ending in endings]
    assert passed == [True, True, False, True, False]


def test_an_info_line_is_its_sessions_and_a_warning_is_everybodys(gate: LineGate) -> None:
    for session in ("s-1", "s-2"):
        assert passes(gate, "session ended", "info", session_id=session)
        assert not passes(gate, "session ended", "info", session_id=session)
    assert passes(gate, "engine unreachable", session_id="s-1")
    assert not passes(gate, "engine unreachable", session_id="s-2")


def test_refusals_have_no_session_of_their_own(gate: LineGate) -> None:
    for n in range(3):
        refusal = {"ending": "unauthorized", "refused": True, "session_id": f"s-{n}"}
        assert passes(gate, "session ended", "info", **refusal) is (n == 0)


def test_a_line_of_structlog_is_not_asked_for_twice(gate: LineGate) -> None:
    assert passes(gate, "hello")
    assert gate.admits(record({"event": "hello"}))


class Broken:
    def __str__(self) -> str:
        raise RuntimeError


def test_no_line_makes_it_raise(gate: LineGate) -> None:
    for message in (Broken(), None, 7, ValueError("x"), "\ud800", b"x"):
        gate.admits(record(message))
        gate.process(None, "unheard of", {"event": message, "code": Broken(), "exc_info": True})
    gate.admits(record("x", exc_info=(None, None, None)))


def test_the_end_is_waited_for_only_where_a_window_is_open(gate: LineGate, hand: Hand) -> None:
    assert gate.seconds_to_end() is None
    gate.admits(record("x"))
    assert gate.seconds_to_end() == WINDOW_SECONDS
    hand.now += WINDOW_SECONDS + 3
    assert gate.seconds_to_end() == 0.0
    assert gate.ended() == []
    assert gate.seconds_to_end() is None


def test_threads_may_log_at_once(gate: LineGate) -> None:
    passed: list[bool] = []

    def log() -> None:
        passed.extend([gate.admits(record("x")) for _ in range(2000)])

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 1
    assert [one.times for one in gate.rest()] == [7999]


# ------------------------------------------------------------------------------- the whole log


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that end while one waits."""
    monkeypatch.setattr("relay.logs.repeats.WINDOW_SECONDS", 0.2)


def lines(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """The log once it has so many lines."""
    until = time.monotonic() + 20
    while len(found := file_lines(folder / "combined.log")) < count:
        assert time.monotonic() < until, found
        time.sleep(0.01)  # a file tells nobody that it grew
    return iter(found)


@pytest.mark.usefixtures("short")
def test_both_kinds_of_loggers_tell_how_often_when_nothing_more_comes(tmp_path: Path) -> None:
    logs = configure("info", tmp_path, console=False)
    try:
        log, library = structlog.get_logger("relay.test"), logging.getLogger("library")
        for n in range(300):
            log.error("engine failed", session_id=f"s-{n}", n=n)
            library.warning("write() called after %s", n)
        first, second, *counts = lines(tmp_path, 4)
    finally:
        logs.close()
    assert (first["message"], first["n"]) == ("engine failed", 0)
    assert second["message"] == "write() called after 0"
    wanted = [
        ("error", "line repeated", "relay.test", "engine failed", 299),
        ("warning", "line repeated", "library", "write() called after %s", 299),
    ]
    fields = ("level", "message", "logger", "line", "times")
    assert [tuple(one[name] for name in fields) for one in counts] == wanted
    assert all(one["seconds"] >= 0.2 for one in counts)
    (_, of_errors) = file_lines(tmp_path / "error.log")
    assert of_errors["times"] == 299


def test_at_its_end_the_log_tells_what_was_not_told(tmp_path: Path) -> None:
    logs = configure("info", tmp_path, console=False)
    for _ in range(21_929):
        logging.getLogger("asyncio").warning("write() called after connection lost")
    logs.close()
    first, count = file_lines(tmp_path / "combined.log")
    assert first["message"] == "write() called after connection lost"
    assert (count["line"], count["times"]) == (first["message"], 21_928)
    assert logs.dropped == 0


def test_the_text_that_is_told_has_no_secret(tmp_path: Path) -> None:
    logs = configure("info", tmp_path, console=False, secrets=["own-secret-value"])
    for _ in range(2):
        logging.getLogger("library").warning("own-secret-value at wss://x/?token=private-token")
    logs.close()
    assert "masked" in file_lines(tmp_path / "combined.log")[1]["line"]
    written = (tmp_path / "combined.log").read_text()
    assert not any(piece in written for piece in ("own-secret", "private-token"))


def test_of_a_repetition_no_traceback_is_formatted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what made a flood of lines cost seconds."""
    logs = configure("info", tmp_path, console=False)
    handler, formatted = logs._handler, list[object]()
    monkeypatch.setattr(handler._redactor, "event", formatted.append)
    fault = ValueError("x")
    for _ in range(100):
        structlog.get_logger("relay.test").error("failed", exc_info=fault)
        logging.getLogger("library").error("failed", exc_info=fault)
    assert len(formatted) == 2
    monkeypatch.undo()
    logs.close()

"""Tests of logging (S3-60): lines on the console and in two files, and the writer behind them."""

import io
import json
import logging
import queue
import sys
import threading
from pathlib import Path

import pytest
import structlog

from relay.logs import configure, setup
from relay.logs.redaction import Redactor
from relay.logs.repeats import LineGate
from relay.logs.setup import (
    QUIET,
    ConsoleFormatter,
    JsonFormatter,
    LogWriter,
    RedactingHandler,
    read_event,
    redacted_event,
)
from tests.logs.lines import file_lines, lines_of

KEY = "sk-proj-0123456789abcdefghij"


@pytest.fixture
def logs(tmp_path):
    """A log into two files only."""
    opened = configure("info", tmp_path / "logs", console=False, secrets=["own-secret-value"])
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "logs"


def test_S3_60_a_line_has_time_level_message_service_and_session(logs, folder):
    structlog.get_logger("relay.session").bind(session_id="sess_1").info("opened", engine="echo")
    logs.close()
    (line,) = file_lines(folder / "combined.log")
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    assert "T" in timestamp
    assert line == {
        "level": "info",
        "message": "opened",
        "service": "relay",
        "session_id": "sess_1",
        "engine": "echo",
    }


def test_S3_60_errors_are_also_in_a_file_of_their_own(logs, folder):
    log = structlog.get_logger()
    log.info("fine")
    log.warning("odd")
    log.error("bad")
    logs.close()
    assert [line["message"] for line in file_lines(folder / "combined.log")] == [
        "fine",
        "odd",
        "bad",
    ]
    assert [line["message"] for line in file_lines(folder / "error.log")] == ["bad"]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
@pytest.mark.parametrize("get", [structlog.get_logger, logging.getLogger])
def test_S3_60_S2_26_the_level_is_honoured(tmp_path, level, shown, get):
    logs = configure(level, tmp_path, console=False)
    log = get("library")
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    logs.close()
    assert [line["message"] for line in file_lines(tmp_path / "combined.log")] == shown


@pytest.mark.parametrize("name", QUIET)
def test_noisy_libraries_are_logged_from_warnings_on(tmp_path, name):
    logs = configure("debug", tmp_path, console=False)
    logging.getLogger(name).info("GET /?token=x")
    logging.getLogger(name).warning("trouble")
    logs.close()
    assert [line["message"] for line in file_lines(tmp_path / "combined.log")] == ["trouble"]


def test_S3_60_the_console_is_json_unless_it_is_a_terminal(capsys):
    logs = configure("info")
    structlog.get_logger().info("hello", n=1)
    logs.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = lines_of(captured.err)
    assert (line["message"], line["n"]) == ("hello", 1)


def test_S3_60_the_console_is_coloured_if_it_is_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs = configure("info")
    structlog.get_logger().info("hello", n=1)
    logs.close()
    assert "\x1b[" in capsys.readouterr().err


def test_S3_60_without_a_writable_folder_the_log_goes_to_logs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file, not a folder")
    logs = configure("info", tmp_path / "taken" / "logs")
    structlog.get_logger().info("hello")
    logs.close()
    warning, hello = file_lines(Path("logs/combined.log"))
    assert warning["level"] == "warning"
    assert "taken" in warning["troubles"][0]
    assert hello["message"] == "hello"
    assert len(lines_of(capsys.readouterr().err)) == 2


def test_S3_60_without_any_folder_the_console_remains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").write_text("a file, not a folder")
    logs = configure("info", tmp_path / "logs" / "below")
    structlog.get_logger().info("hello")
    logs.close()
    warning, hello = lines_of(capsys.readouterr().err)
    assert len(warning["troubles"]) == 2
    assert hello["message"] == "hello"


def test_a_rotated_file_is_reopened(logs, folder):
    structlog.get_logger().info("before")
    logs._writer._queue.put(None)  # all lines are on the disk once the thread has read this
    logs._writer._thread.join()
    (folder / "combined.log").rename(folder / "combined.log.1")
    handler = logs._writer._handlers[0]
    handler.handle(logging.makeLogRecord({"event": {"message": "after"}}))
    assert [line["message"] for line in file_lines(folder / "combined.log.1")] == ["before"]
    assert [line["message"] for line in file_lines(folder / "combined.log")] == ["after"]


def test_a_full_file_is_set_aside_in_place_of_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "MAX_FILE_BYTES", 5_000)
    logs = configure("info", tmp_path, console=False)
    log = structlog.get_logger()
    for n in range(100):
        log.info("line", code=n, session_id=f"s-{n}", padding="x " * 100)
    logs.close()
    full, now = (file_lines(tmp_path / f"combined{part}.log") for part in (".full", ""))
    kept = [line["code"] for line in (*full, *now)]
    assert kept == list(range(kept[0], 100)), "in order, up to the last, none lost in between"
    assert {path.name for path in tmp_path.iterdir()} == {
        *("combined.log", "combined.full.log", "error.log"),
    }
    sizes = [path.stat().st_size for path in tmp_path.glob("combined*")]
    assert max(sizes) < 5_000 + 1_000


def test_a_folder_where_nothing_can_be_renamed_costs_no_line(tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "MAX_FILE_BYTES", 1)
    logs = configure("info", tmp_path, console=False)
    (tmp_path / "combined.full.log").mkdir()
    structlog.get_logger().info("one")
    structlog.get_logger().info("two")
    logs.close()
    assert [line["message"] for line in file_lines(tmp_path / "combined.log")] == ["one", "two"]


def refuse():
    raise ValueError(f"Incorrect API key provided: {KEY}")


def test_S3_61_no_secret_or_spoken_word_reaches_the_disk(logs, folder):
    log, library = structlog.get_logger(), logging.getLogger("library")
    failure = f"failed with {KEY}"
    log.info(failure, url="wss://h/?token=private-token", token="private-token")
    log.info("said", text="private words", nested={"transcript": "private words"})
    log.info("own", value="own-secret-value")
    library.error("refused %s for %r", KEY, {"access_token": "private-token"})
    try:
        refuse()
    except ValueError:
        log.exception("engine refused")
        library.exception("engine refused")
    logs.close()
    written = (folder / "combined.log").read_text("utf-8")
    assert len(written.splitlines()) == 6
    assert written.count("Traceback") == 2
    assert not any(piece in written for piece in (KEY, "private", "own-secret-value"))
    assert "private" not in (folder / "error.log").read_text("utf-8")


def test_closing_restores_logging_and_may_be_repeated(tmp_path):
    before = (list(logging.getLogger().handlers), logging.getLogger().level)
    levels = [logging.getLogger(name).level for name in QUIET]
    logs = configure("debug", tmp_path, console=False)
    logs.close()
    logs.close()
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before
    assert [logging.getLogger(name).level for name in QUIET] == levels
    assert not structlog.is_configured()
    assert logs.dropped == 0


def record(message="hello", *args, level=logging.INFO, **more):
    return logging.makeLogRecord(
        {"name": "library", "levelno": level, "msg": message, "args": args, "created": 1.5} | more
    )


def test_a_librarys_record_is_read_as_an_event():
    assert read_event(record("hello %s", "you", level=logging.WARNING)) == {
        "timestamp": "1970-01-01T00:00:01.500Z",
        "level": "warning",
        "message": "hello you",
        "service": "relay",
        "logger": "library",
    }


def test_a_field_cannot_replace_message_level_or_service():
    said = {"event": "real", "message": "fake", "level": "fake", "service": "fake", "n": 1}
    event = read_event(record(said))
    assert (event["message"], event["level"], event["service"]) == ("real", "info", "relay")
    assert event["n"] == 1


def test_a_librarys_record_carries_the_session_it_was_logged_in():
    with structlog.contextvars.bound_contextvars(session_id="sess_1"):
        assert read_event(record())["session_id"] == "sess_1"
    assert "session_id" not in read_event(record())


@pytest.fixture
def lines():
    return queue.Queue(3)


@pytest.fixture
def handler(lines):
    return RedactingHandler(lines, Redactor())


def messages_of(lines):
    return [redacted_event(lines.get_nowait())["message"] for _ in range(lines.qsize())]


def test_lines_dropped_at_a_full_queue_are_counted_and_reported_once(handler, lines):
    for n in range(5):
        handler.handle(record(f"line {n}"))
    assert handler.dropped == 2
    assert messages_of(lines) == ["line 0", "line 1", "line 2"]
    handler.handle(record("later"))
    later, told = lines.get_nowait(), lines.get_nowait()
    assert redacted_event(later)["message"] == "later"
    assert (redacted_event(told)["message"], redacted_event(told)["lines"]) == (
        "log lines dropped",
        2,
    )
    handler.handle(record("and on"))
    assert messages_of(lines) == ["and on"], "told once"


def test_a_line_that_cannot_be_read_is_dropped_silently(handler, lines, capsys):
    handler.handle(record("%d items", "private"))
    assert handler.dropped == 1
    assert lines.empty()
    assert capsys.readouterr() == ("", "")


def test_lines_are_written_in_order_to_every_handler_of_their_level(lines):
    everything, errors = io.StringIO(), io.StringIO()
    handlers = [logging.StreamHandler(everything), logging.StreamHandler(errors)]
    for handler in handlers:
        handler.setFormatter(JsonFormatter())
    handlers[1].setLevel("ERROR")
    redacting = RedactingHandler(lines, Redactor())
    redacting.handle(record("fine"))
    redacting.handle(record("bad", level=logging.ERROR))
    LogWriter(lines, handlers, LineGate(), Redactor()).stop()
    assert [json.loads(line)["message"] for line in everything.getvalue().splitlines()] == [
        "fine",
        "bad",
    ]
    assert [json.loads(line)["message"] for line in errors.getvalue().splitlines()] == ["bad"]


class BlockedPipe(io.StringIO):
    """A stream whose reader has stopped reading."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.go_on.wait()
        return super().write(text)


def test_a_blocked_pipe_delays_neither_the_caller_nor_the_exit(lines, monkeypatch):
    monkeypatch.setattr(setup, "CLOSE_SECONDS", 0.01)
    pipe = BlockedPipe()
    handler = logging.StreamHandler(pipe)
    handler.setFormatter(JsonFormatter())
    redacting = RedactingHandler(lines, Redactor())
    writer = LogWriter(lines, [handler], LineGate(), Redactor())
    redacting.handle(record("first"))
    pipe.entered.wait()
    for n in range(1000):
        redacting.handle(record(f"line {n}"))
    assert redacting.dropped == 1000 - 3
    writer.stop()
    pipe.go_on.set()
    lines.put(None)
    writer._thread.join(10)


def test_a_console_line_has_colour_and_fields_but_no_service():
    event = {"timestamp": "t", "level": "info", "message": "hello", "service": "relay", "n": 7}
    line = ConsoleFormatter().format(logging.makeLogRecord({"event": event}))
    assert "hello" in line
    assert "7" in line
    assert "\x1b[" in line
    assert "relay" not in line


def test_a_console_line_keeps_the_masked_traceback():
    event = {"timestamp": "t", "level": "error", "message": "m", "exception": "Trace\nE: [masked]"}
    line = ConsoleFormatter().format(logging.makeLogRecord({"event": event}))
    assert line.endswith("Trace\nE: [masked]")


def test_json_is_always_one_line():
    event = {"message": "a\nb\u2028c\x1b[31m", "n": [1]}
    line = JsonFormatter().format(logging.makeLogRecord({"event": event}))
    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line) == event

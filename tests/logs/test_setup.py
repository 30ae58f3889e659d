"""S3-60: JSON lines on the console and in two files, for our own logs and every library's."""

import logging
import sys
from pathlib import Path

import pytest
import structlog

from relay.logs import configure
from relay.logs.setup import QUIET
from tests.logs.lines import file_lines, lines_of

KEY = "sk-proj-0123456789abcdefghij"


@pytest.fixture
def logs(tmp_path):
    """A log into two files, and nowhere else."""
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


def test_S3_60_errors_stand_in_a_file_of_their_own_as_well(logs, folder):
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
def test_S3_60_the_level_is_honoured(tmp_path, level, shown, get):
    logs = configure(level, tmp_path, console=False)
    log = get("somebody")
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    logs.close()
    assert [line["message"] for line in file_lines(tmp_path / "combined.log")] == shown


@pytest.mark.parametrize("name", QUIET)
def test_talkative_libraries_are_heard_from_warnings_on(tmp_path, name):
    logs = configure("debug", tmp_path, console=False)
    logging.getLogger(name).info("GET /?token=x")
    logging.getLogger(name).warning("trouble")
    logs.close()
    assert [line["message"] for line in file_lines(tmp_path / "combined.log")] == ["trouble"]


def test_S3_60_the_console_is_json_where_it_is_no_terminal(capsys):
    logs = configure("info")
    structlog.get_logger().info("hello", n=1)
    logs.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = lines_of(captured.err)
    assert (line["message"], line["n"]) == ("hello", 1)


def test_S3_60_the_console_is_for_people_where_it_is_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs = configure("info")
    structlog.get_logger().info("hello", n=1)
    logs.close()
    assert "\x1b[" in capsys.readouterr().err


def test_S3_60_without_a_folder_to_write_the_log_goes_to_logs(tmp_path, monkeypatch, capsys):
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


def test_a_file_that_was_rotated_away_is_opened_anew(logs, folder):
    structlog.get_logger().info("before")
    logs._writer._waiting.put(None)  # what waits is on the disk once the thread has read this
    logs._writer._thread.join()
    (folder / "combined.log").rename(folder / "combined.log.1")
    handler = logs._writer._handlers[0]
    handler.handle(logging.makeLogRecord({"event": {"message": "after"}}))
    assert [line["message"] for line in file_lines(folder / "combined.log.1")] == ["before"]
    assert [line["message"] for line in file_lines(folder / "combined.log")] == ["after"]


def refuse():
    raise ValueError(f"Incorrect API key provided: {KEY}")


def test_S3_61_no_secret_and_no_word_reaches_the_disk_by_any_way_in(logs, folder):
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


def test_closing_twice_is_closing_once_and_leaves_logging_as_it_was(tmp_path):
    before = (list(logging.getLogger().handlers), logging.getLogger().level)
    levels = [logging.getLogger(name).level for name in QUIET]
    logs = configure("debug", tmp_path, console=False)
    logs.close()
    logs.close()
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before
    assert [logging.getLogger(name).level for name in QUIET] == levels
    assert not structlog.is_configured()
    assert logs.dropped == 0

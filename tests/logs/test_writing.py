"""The way from the loop to the disk: never blocks, never raises, drops and says so."""

import io
import json
import logging
import queue
import threading

import pytest
import structlog

from relay.logs import setup as writing
from relay.logs.redaction import Redactor
from relay.logs.setup import ForPeople, Intake, JsonLines, LogWriter, harmless, read_event


def record(message="hello", *args, level=logging.INFO, **more):
    return logging.makeLogRecord(
        {"name": "library", "levelno": level, "msg": message, "args": args, "created": 1.5} | more
    )


def test_a_librarys_record_becomes_an_event():
    assert read_event(record("hello %s", "you", level=logging.WARNING)) == {
        "timestamp": "1970-01-01T00:00:01.500Z",
        "level": "warning",
        "message": "hello you",
        "service": "relay",
        "logger": "library",
    }


def test_an_event_may_not_pretend_to_be_another_line():
    said = {"event": "real", "message": "fake", "level": "fake", "service": "fake", "n": 1}
    event = read_event(record(said))
    assert (event["message"], event["level"], event["service"]) == ("real", "info", "relay")
    assert event["n"] == 1


def test_a_librarys_record_carries_the_session_it_was_logged_in():
    with structlog.contextvars.bound_contextvars(session_id="sess_1"):
        assert read_event(record())["session_id"] == "sess_1"
    assert "session_id" not in read_event(record())


@pytest.fixture
def waiting():
    return queue.Queue(3)


@pytest.fixture
def intake(waiting):
    return Intake(waiting, Redactor())


def taken(waiting):
    return [harmless(waiting.get_nowait())["message"] for _ in range(waiting.qsize())]


def test_a_full_queue_drops_and_the_next_line_with_room_is_followed_by_how_many(intake, waiting):
    for n in range(5):
        intake.handle(record(f"line {n}"))
    assert intake.dropped == 2
    assert taken(waiting) == ["line 0", "line 1", "line 2"]
    intake.handle(record("later"))
    later, told = waiting.get_nowait(), waiting.get_nowait()
    assert harmless(later)["message"] == "later"
    assert (harmless(told)["message"], harmless(told)["lines"]) == ("log lines dropped", 2)
    intake.handle(record("and on"))
    assert taken(waiting) == ["and on"], "told once"


def test_a_line_that_cannot_be_read_is_dropped_without_a_word(intake, waiting, capsys):
    intake.handle(record("%d items", "private"))
    assert intake.dropped == 1
    assert waiting.empty()
    assert capsys.readouterr() == ("", "")


def test_lines_are_written_in_order_to_those_who_want_their_level(waiting):
    everything, errors = io.StringIO(), io.StringIO()
    handlers = [logging.StreamHandler(everything), logging.StreamHandler(errors)]
    for handler in handlers:
        handler.setFormatter(JsonLines())
    handlers[1].setLevel("ERROR")
    intake = Intake(waiting, Redactor())
    intake.handle(record("fine"))
    intake.handle(record("bad", level=logging.ERROR))
    LogWriter(waiting, handlers).stop()
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


def test_a_blocked_pipe_holds_up_neither_the_caller_nor_the_exit(waiting, monkeypatch):
    monkeypatch.setattr(writing, "CLOSE_SECONDS", 0.01)
    pipe = BlockedPipe()
    handler = logging.StreamHandler(pipe)
    handler.setFormatter(JsonLines())
    intake, writer = Intake(waiting, Redactor()), LogWriter(waiting, [handler])
    intake.handle(record("first"))
    pipe.entered.wait()
    for n in range(1000):
        intake.handle(record(f"line {n}"))
    assert intake.dropped == 1000 - 3
    writer.stop()
    pipe.go_on.set()
    waiting.put(None)
    writer._thread.join(10)


def test_for_people_a_line_has_colour_and_fields_but_no_boilerplate():
    event = {"timestamp": "t", "level": "info", "message": "hello", "service": "relay", "n": 7}
    line = ForPeople().format(logging.makeLogRecord({"event": event}))
    assert "hello" in line
    assert "7" in line
    assert "\x1b[" in line
    assert "relay" not in line


def test_for_people_a_traceback_is_printed_as_it_was_masked():
    event = {"timestamp": "t", "level": "error", "message": "m", "exception": "Trace\nE: [masked]"}
    line = ForPeople().format(logging.makeLogRecord({"event": event}))
    assert line.endswith("Trace\nE: [masked]")


def test_json_is_one_line_whatever_is_in_it():
    event = {"message": "a\nb\u2028c\x1b[31m", "n": [1]}
    line = JsonLines().format(logging.makeLogRecord({"event": event}))
    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line) == event

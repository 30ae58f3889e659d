"""Sets up Python's and structlog's logging: redacted lines, written by a thread of their own."""

import atexit
import contextlib
import json
import logging
import os
import queue
import stat
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

import structlog

from relay.logs.redaction import Redactor
from relay.logs.repeats import LineGate, Repetitions

SERVICE = "relay"
FALLBACK_DIR = Path("logs")  # below the working folder, when LOG_DIR cannot be written
FILE_MODE = 0o640  # who called, and when, is for the relay's user and group alone
# Bytes of a log file: beyond, it becomes NAME.full.log in place of the one before.
MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_QUEUED = 10_000  # lines, of about 1 KiB; beyond, they are dropped and counted
CLOSE_SECONDS = 2.0  # to write what is queued when the process ends
# Below a warning these log bytes, addresses with their query, or their own workings.
QUIET = ("picows", "aiohttp.access", "websockets", "asyncio", "httpx", "httpcore")

_EXCEPTIONS = logging.Formatter()

log = structlog.get_logger("relay.logs")


def configure(
    level: str = "info",
    log_dir: Path | None = None,
    *,
    console: bool = True,
    secrets: Iterable[str] = (),
) -> "Logs":
    """Start logging; the caller closes what it gets.

    `level` is debug, info, warning or error. `console` logs to stderr, in colour on a terminal and
    as JSON elsewhere. `log_dir` gets combined.log and error.log; if it cannot be written, ./logs
    does, and one warning says so. `secrets` are masked wherever they turn up. A line that is
    repeated is written once in 10 s, and then how often it came (`relay.logs.repeats`).
    """
    handlers: list[logging.Handler] = [_console()] if console else []
    files, troubles = _open_files(log_dir)
    handlers += files
    lines: queue.Queue[logging.LogRecord | None] = queue.Queue(MAX_QUEUED)
    redactor, gate = Redactor(secrets), LineGate()
    writer = LogWriter(lines, handlers, gate, redactor)
    logs = Logs(RedactingHandler(lines, redactor), writer, gate)
    logs.begin(getattr(logging, level.upper()))
    if troubles:
        log.warning(
            "log folder is not writable", setting="LOG_DIR", troubles=troubles, used=bool(files)
        )
    return logs


def _console() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter() if sys.stderr.isatty() else JsonFormatter())
    return handler


def _open_files(log_dir: Path | None) -> tuple[list[logging.Handler], list[str]]:
    """Open both files in the first writable folder; also return why others were not."""
    troubles: list[str] = []
    for folder in (log_dir, FALLBACK_DIR) if log_dir is not None else ():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return [
                _open_file(folder / "combined.log"),
                _open_file(folder / "error.log", "ERROR"),
            ], troubles
        except OSError as error:
            troubles.append(f"{folder}: {error.strerror}")
    return [], troubles


def _keep_private(path: Path) -> None:
    """Create a log file, or take from one that is there what `FILE_MODE` does not allow."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & ~FILE_MODE:
            with contextlib.suppress(PermissionError):  # another user's, who may keep it open
                os.fchmod(descriptor, mode & FILE_MODE)
    finally:
        os.close(descriptor)


def _open_file(path: Path, level: str = "NOTSET") -> logging.Handler:
    handler = SizedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(JsonFormatter())
    handler.setLevel(level)
    return handler


class SizedFileHandler(WatchedFileHandler):
    """Writes a log file of bounded size.

    It is watched: once logrotate has moved the file, the next line opens a new one. A file that
    has grown to `MAX_FILE_BYTES` before that is renamed to NAME.full.log, in place of the last.
    """

    def _open(self) -> TextIOWrapper:
        _keep_private(Path(self.baseFilename))
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, and set the file aside if it is full."""
        super().emit(record)
        with contextlib.suppress(OSError):  # the next line tries again
            if self.stream and os.fstat(self.stream.fileno()).st_size >= MAX_FILE_BYTES:
                Path(self.baseFilename).replace(full_name(Path(self.baseFilename)))


def full_name(path: Path) -> Path:
    """Where a log file is kept once it is full: combined.log as combined.full.log."""
    return path.with_name(f"{path.stem}.full{path.suffix}")


class Logs:
    """Logging from `configure` until it is closed."""

    def __init__(self, handler: "RedactingHandler", writer: "LogWriter", gate: LineGate) -> None:
        self._handler = handler
        self._writer = writer
        self._gate = gate
        self._levels = {name: logging.getLogger(name).level for name in ("", *QUIET)}
        self._open = True

    @property
    def dropped(self) -> int:
        """Lines lost since the start, because the disk or the pipe was too slow."""
        return self._handler.dropped

    def begin(self, level: int) -> None:
        """Log every logger's lines of this level and above from now on."""
        root = logging.getLogger()
        self._handler.addFilter(self._gate.admits)
        root.addHandler(self._handler)
        root.setLevel(level)
        for name in QUIET:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                self._gate.process,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                # The event dict becomes the record's `msg`; read_event takes it from there.
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
        atexit.register(self.close)

    def close(self) -> None:
        """Write what is queued, for at most `CLOSE_SECONDS`, and restore logging; repeatable."""
        if not self._open:
            return
        self._open = False
        atexit.unregister(self.close)
        logging.getLogger().removeHandler(self._handler)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        structlog.reset_defaults()
        self._writer.stop()


class RedactingHandler(logging.Handler):
    """The root logger's handler: redacts each record and queues it for the `LogWriter`.

    It never blocks and never raises; a line that finds the queue full is counted in `dropped`.
    """

    def __init__(self, lines: "queue.Queue[logging.LogRecord | None]", redactor: Redactor) -> None:
        super().__init__()
        self.dropped = 0
        self._reported = 0
        self._queue = lines
        self._redactor = redactor

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a redacted copy of the record."""
        try:
            event = self._redactor.event(read_event(record))
        except Exception:  # noqa: BLE001 - a line that cannot be read must not raise in its caller,
            # and logging's own error handling would print the arguments unmasked
            self.dropped += 1
            return
        if self._put(record.levelno, event) and self.dropped > self._reported:
            self._report_dropped()

    def _report_dropped(self) -> None:
        lost = self.dropped - self._reported
        event = _head(datetime.now(UTC).timestamp(), logging.WARNING, "log lines dropped")
        if self._put(logging.WARNING, event | {"lines": lost}):
            self._reported += lost

    def _put(self, level: int, event: dict[str, object]) -> bool:
        try:
            self._queue.put_nowait(logging.makeLogRecord({"levelno": level, "event": event}))
        except queue.Full:
            self.dropped += 1
            return False
        return True


class LogWriter:
    """The thread that writes queued records, in order, to every handler.

    It also tells of repetitions, at the end of their window or when it is stopped.
    """

    def __init__(
        self,
        lines: "queue.Queue[logging.LogRecord | None]",
        handlers: Sequence[logging.Handler],
        gate: LineGate,
        redactor: Redactor,
    ) -> None:
        self._queue = lines
        self._handlers = handlers
        self._gate = gate
        self._redactor = redactor
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, for a bounded time: a blocked pipe does not delay the exit."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_SECONDS)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            for handler in self._handlers:
                handler.close()

    def _run(self) -> None:
        is_open = True
        while is_open:
            with contextlib.suppress(queue.Empty):
                record = self._queue.get(timeout=self._gate.seconds_to_end())
                is_open = record is not None
                if record is not None:
                    self._write(record)
            for told in self._gate.ended() if is_open else self._gate.rest():
                event = self._redactor.event(read_repetitions(told))
                self._write(logging.makeLogRecord({"levelno": told.key.level, "event": event}))

    def _write(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.handle(record)


def read_event(record: logging.LogRecord) -> dict[str, object]:
    """The fields of a record, of structlog (whose `msg` is the event) or of any library."""
    if isinstance(record.msg, dict):
        event = dict(record.msg)
        message = event.pop("event", "")
    else:
        event = {"logger": record.name, **structlog.contextvars.get_contextvars()}
        message = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = _EXCEPTIONS.formatException(record.exc_info)
    head = _head(record.created, record.levelno, message)
    return head | {name: value for name, value in event.items() if name not in head}


def read_repetitions(told: Repetitions) -> dict[str, object]:
    """The fields of the line that tells how often another came."""
    key = told.key
    fields = {"logger": key.logger, "line": key.message, "kind": key.kind}
    counted = {"times": told.times, "seconds": round(told.seconds, 1)}
    head = _head(datetime.now(UTC).timestamp(), key.level, "line repeated")
    return head | {name: text for name, text in fields.items() if text} | counted


def _head(created: float, level: int, message: object) -> dict[str, object]:
    moment = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return {
        "timestamp": moment.replace("+00:00", "Z"),
        "level": logging.getLevelName(level).lower(),
        "message": message,
        "service": SERVICE,
    }


def redacted_event(record: logging.LogRecord) -> dict[str, object]:
    """The event that `RedactingHandler` put into a queued record."""
    event: dict[str, object] = record.__dict__["event"]
    return event


class JsonFormatter(logging.Formatter):
    """Formats a line as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the redacted event."""
        return json.dumps(redacted_event(record), ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """Formats a line for a terminal, in colour."""

    def __init__(self) -> None:
        super().__init__()
        self._render = structlog.dev.ConsoleRenderer(
            colors=True,
            sort_keys=False,
            event_key="message",
            exception_formatter=structlog.dev.plain_traceback,
        )

    def format(self, record: logging.LogRecord) -> str:
        """Format the redacted event."""
        event = {name: value for name, value in redacted_event(record).items() if name != "service"}
        return str(self._render(None, "", event))

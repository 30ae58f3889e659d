"""Where the log goes, and the one place that sets Python's and structlog's logging up."""

import atexit
import contextlib
import json
import logging
import queue
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

import structlog

from relay.logs.redaction import Redactor

# ---- From the event loop to the disk: a bounded queue and one thread that writes.

SERVICE = "relay"
MAX_WAITING = 10_000  # lines, of 1 KiB or so; beyond, they are counted and dropped
CLOSE_SECONDS = 2.0  # for what still waits when the process ends

_EXCEPTIONS = logging.Formatter()


class Intake(logging.Handler):
    """The one handler of the root logger: makes records harmless and hands them over.

    It never blocks and never raises; a line that finds the queue full is counted in `dropped`.
    """

    def __init__(
        self, waiting: "queue.Queue[logging.LogRecord | None]", redactor: Redactor
    ) -> None:
        super().__init__()
        self.dropped = 0
        self._told = 0
        self._waiting = waiting
        self._redactor = redactor

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a harmless copy of the record."""
        try:
            event = self._redactor.event(read_event(record))
        except Exception:  # noqa: BLE001 - a line that cannot be read must not end its caller,
            # and logging's own way out would print its arguments unmasked
            self.dropped += 1
            return
        if self._put(record.levelno, event) and self.dropped > self._told:
            self._tell()

    def _tell(self) -> None:
        lost = self.dropped - self._told
        event = _head(datetime.now(UTC).timestamp(), logging.WARNING, "log lines dropped")
        if self._put(logging.WARNING, event | {"lines": lost}):
            self._told += lost

    def _put(self, level: int, event: dict[str, object]) -> bool:
        try:
            self._waiting.put_nowait(logging.makeLogRecord({"levelno": level, "event": event}))
        except queue.Full:
            self.dropped += 1
            return False
        return True


def read_event(record: logging.LogRecord) -> dict[str, object]:
    """The fields of a record, whether structlog's (its `msg` is the event) or any library's."""
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


def _head(created: float, level: int, message: object) -> dict[str, object]:
    moment = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return {
        "timestamp": moment.replace("+00:00", "Z"),
        "level": logging.getLevelName(level).lower(),
        "message": message,
        "service": SERVICE,
    }


def harmless(record: logging.LogRecord) -> dict[str, object]:
    """The event that `Intake` made of a record."""
    event: dict[str, object] = record.__dict__["event"]
    return event


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write what `Intake` let through."""
        return json.dumps(harmless(record), ensure_ascii=False)


class ForPeople(logging.Formatter):
    """A line for a terminal, in colour."""

    def __init__(self) -> None:
        super().__init__()
        self._render = structlog.dev.ConsoleRenderer(
            colors=True,
            sort_keys=False,
            event_key="message",
            exception_formatter=structlog.dev.plain_traceback,
        )

    def format(self, record: logging.LogRecord) -> str:
        """Write what `Intake` let through."""
        event = {name: value for name, value in harmless(record).items() if name != "service"}
        return str(self._render(None, "", event))


class LogWriter:
    """The thread that writes, in order, to every handler."""

    def __init__(
        self,
        waiting: "queue.Queue[logging.LogRecord | None]",
        handlers: Sequence[logging.Handler],
    ) -> None:
        self._waiting = waiting
        self._handlers = handlers
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, for a bounded time: a blocked pipe does not hold up the exit."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_SECONDS)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            for handler in self._handlers:
                handler.close()

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            for handler in self._handlers:
                if record.levelno >= handler.level:
                    handler.handle(record)


FALLBACK_DIR = Path("logs")  # below the working folder, where LOG_DIR cannot be written
# What these say below a warning is about bytes, addresses with their arguments, or themselves.
QUIET = ("picows", "aiohttp.access", "websockets", "asyncio", "httpx", "httpcore")

log = structlog.get_logger("relay.logs")


class Logs:
    """The log while it is open."""

    def __init__(self, intake: Intake, writer: LogWriter) -> None:
        self._intake = intake
        self._writer = writer
        self._levels = {name: logging.getLogger(name).level for name in ("", *QUIET)}
        self._open = True

    @property
    def dropped(self) -> int:
        """How many lines were lost since the start because the disk or the pipe was too slow."""
        return self._intake.dropped

    def begin(self, level: int) -> None:
        """Take every logger's lines of this level and above from now on."""
        root = logging.getLogger()
        root.addHandler(self._intake)
        root.setLevel(level)
        for name in QUIET:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                # The event itself becomes the record's message; Intake reads it there.
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
        atexit.register(self.close)

    def close(self) -> None:
        """Write what waits (for two seconds at most) and leave logging as it was; repeatable."""
        if not self._open:
            return
        self._open = False
        atexit.unregister(self.close)
        logging.getLogger().removeHandler(self._intake)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        structlog.reset_defaults()
        self._writer.stop()


def configure(
    level: str = "info",
    log_dir: Path | None = None,
    *,
    console: bool = True,
    secrets: Iterable[str] = (),
) -> Logs:
    """Begin to log; the caller closes what it gets.

    `level` is debug, info, warning or error; `console` writes to stderr, in colour on a terminal
    and as JSON elsewhere; `log_dir` gets combined.log and error.log, or ./logs does where it cannot
    be written (one warning says so); `secrets` are masked wherever they turn up.
    """
    handlers: list[logging.Handler] = [_console()] if console else []
    files, troubles = _files(log_dir)
    handlers += files
    waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(MAX_WAITING)
    logs = Logs(Intake(waiting, Redactor(secrets)), LogWriter(waiting, handlers))
    logs.begin(getattr(logging, level.upper()))
    if troubles:
        log.warning("log folder is not writable", troubles=troubles, used=bool(files))
    return logs


def _console() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ForPeople() if sys.stderr.isatty() else JsonLines())
    return handler


def _files(log_dir: Path | None) -> tuple[list[logging.Handler], list[str]]:
    """Open the two files in the first folder that can be written; also say which could not."""
    troubles: list[str] = []
    for folder in (log_dir, FALLBACK_DIR) if log_dir is not None else ():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return [_file(folder / "combined.log"), _file(folder / "error.log", "ERROR")], troubles
        except OSError as error:
            troubles.append(f"{folder}: {error.strerror}")
    return [], troubles


def _file(path: Path, level: str = "NOTSET") -> logging.Handler:
    # Watched: after logrotate moved the file away, the next line opens a new one.
    handler = WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(JsonLines())
    handler.setLevel(level)
    return handler

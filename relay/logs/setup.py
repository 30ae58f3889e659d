"""Where the log goes, and the one place that sets Python's and structlog's logging up."""

import atexit
import logging
import queue
import sys
from collections.abc import Iterable
from logging.handlers import WatchedFileHandler
from pathlib import Path

import structlog

from relay.logs.redaction import Redactor
from relay.logs.writing import MAX_WAITING, ForPeople, Intake, JsonLines, Writer

FALLBACK_DIR = Path("logs")  # below the working folder, where LOG_DIR cannot be written
# What these say below a warning is about bytes, addresses with their arguments, or themselves.
QUIET = ("picows", "aiohttp.access", "websockets", "asyncio", "httpx", "httpcore")

log = structlog.get_logger("relay.logs")


class Logs:
    """The log while it is open."""

    def __init__(self, intake: Intake, writer: Writer) -> None:
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
    logs = Logs(Intake(waiting, Redactor(secrets)), Writer(waiting, handlers))
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

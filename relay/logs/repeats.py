"""Limits repeated log lines, structlog's and libraries': one is written, the others counted."""

import logging
import re
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import structlog

WINDOW_SECONDS: Final = 10.0
"""Seconds from the first line of a key until its repetitions are told, and the next is written."""
MAX_OF_LOGGER: Final = 50
"""Keys of one logger and level in a window: a library that formats values into its texts has no
template, so each of its lines is new. Beyond, they are counted together."""
MAX_OF_SESSIONS: Final = 180
"""Lines of sessions in a window, whatever they say: with all others 20 a second. Beyond, each
message's are counted together."""
MAX_WINDOWS: Final = 4_000
"""Keys in a window, of about 1 KiB; beyond, all others of a level are counted together."""
MAX_TEXT: Final = 200
"""Characters of a message or a kind that are compared."""

KIND_FIELDS: Final = (
    *("action", "cause", "code", "ending", "error", "kind", "part", "reason", "status", "task"),
    *("tool",),
)
"""Fields that name a case from a short list: another case is another line, not a repetition."""

_ANY: Final = "*"
"""Stands for every session."""
_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|[0-9]{4,}")
"""Numbers that asyncio, for one, writes into its texts; shorter ones may be an HTTP status."""
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
"""By structlog's name of a method, which also gives `exception` as error; any other is info."""


class LineKey(NamedTuple):
    """What makes two lines the same: never the values in them.

    `message` is structlog's event or a library's template. `kind` holds the fields in
    `KIND_FIELDS` and the type of an exception. Up to the level info a session's lines are its own,
    but for those of callers who were `refused`: everybody can be. A warning is the whole
    process's, whichever session met it first.
    """

    level: int
    logger: str = ""
    message: str = ""
    kind: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Repetitions:
    """How many lines of a key were not written, in so many seconds."""

    key: LineKey
    times: int
    seconds: float


@dataclass(slots=True)
class _Window:
    began: float
    repetitions: int = 0


class RepeatLimit:
    """Admits the first line of a key and counts the others until its window is told.

    A window ends after `WINDOW_SECONDS`, but only `ended` closes it: what comes until then is
    counted, so that the memory is bounded even where nobody can write.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[LineKey, _Window] = OrderedDict()
        self._sizes: Counter[LineKey] = Counter()

    def admit(self, key: LineKey, now: float) -> bool:
        """Tell whether a line is written; `now` is any clock's seconds, which never go back."""
        window = self._open.get(key)
        if window is None:
            key = self._within_bounds(key)
            window = self._open.get(key)
        if window is not None:
            window.repetitions += 1
            return False
        self._open[key] = _Window(now)
        self._sizes[_bounded(key)] += 1
        return True

    def _within_bounds(self, key: LineKey) -> LineKey:
        """The key, or what it is counted under where too many are like it."""
        if len(self._open) >= MAX_WINDOWS:
            return LineKey(key.level)
        while (group := _group(key)) != key and self._sizes[_bounded(key)] >= _most(key):
            key = group
        return key

    @property
    def next_end(self) -> float | None:
        """When the next window ends; None where none is open."""
        first = next(iter(self._open.values()), None)
        return None if first is None else first.began + WINDOW_SECONDS

    def ended(self, now: float) -> list[Repetitions]:
        """Close the windows that are over; returns those with repetitions."""
        told = []
        while (end := self.next_end) is not None and end <= now:
            told += self._close_first(now)
        return told

    def rest(self, now: float) -> list[Repetitions]:
        """Close every window; returns those with repetitions."""
        told = []
        while self._open:
            told += self._close_first(now)
        return told

    def _close_first(self, now: float) -> list[Repetitions]:
        key, window = self._open.popitem(last=False)
        bounded = _bounded(key)
        self._sizes[bounded] -= 1
        if not self._sizes[bounded]:
            del self._sizes[bounded]
        if not window.repetitions:
            return []
        return [Repetitions(key, window.repetitions, now - window.began)]


def _group(key: LineKey) -> LineKey:
    """What a key is counted under where there are too many: its message, or its logger."""
    if key.session:
        return LineKey(key.level, key.logger, key.message)
    return LineKey(key.level, key.logger)


def _bounded(key: LineKey) -> LineKey:
    """The keys that are bounded together: those of all sessions, or one logger's."""
    return LineKey(key.level, session=_ANY) if key.session else _group(key)


def _most(key: LineKey) -> int:
    return MAX_OF_SESSIONS if key.session else MAX_OF_LOGGER


class LineGate:
    """The limit where lines arise, before anything of them is formatted; any thread may ask it.

    `process` is a structlog processor, `admits` a filter of the handler that gets every library's
    records. Neither raises. `clock` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit = RepeatLimit()
        self._lock = threading.Lock()

    def process(
        self, logger: Any, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Let a line of structlog pass; raises structlog's `DropEvent` for a repetition."""
        if not self._admit(_key_of_event(logger, method, event)):
            raise structlog.DropEvent
        return event

    def admits(self, record: logging.LogRecord) -> bool:
        """Tell whether a library's record is written; structlog's own were asked for before."""
        return isinstance(record.msg, dict) or self._admit(_key_of_record(record))

    def _admit(self, key: LineKey) -> bool:
        with self._lock:
            return self._limit.admit(key, self._clock())

    def seconds_to_end(self) -> float | None:
        """Seconds until `ended` has something to close; None where no window is open."""
        with self._lock:
            end = self._limit.next_end
        return None if end is None else max(0.0, end - self._clock())

    def ended(self) -> list[Repetitions]:
        """The repetitions of the windows that are over."""
        with self._lock:
            return self._limit.ended(self._clock())

    def rest(self) -> list[Repetitions]:
        """The repetitions of every window."""
        with self._lock:
            return self._limit.rest(self._clock())


def _key_of_event(logger: Any, method: str, event: structlog.typing.EventDict) -> LineKey:
    level = _LEVELS.get(method, logging.INFO)
    kinds = [f"{name}={event[name]}" for name in KIND_FIELDS if _is_short(event.get(name))]
    if event.get("exc_info"):
        kinds.append(_fault(event["exc_info"]))
    is_its_own = level <= logging.INFO and not event.get("refused")
    session = str(event.get("session_id", ""))[:MAX_TEXT] if is_its_own else ""
    message, kind = _text(event.get("event")), " ".join(kinds)[:MAX_TEXT]
    return LineKey(level, str(getattr(logger, "name", "")), message, kind, session)


def _key_of_record(record: logging.LogRecord) -> LineKey:
    kind = _fault(record.exc_info) if record.exc_info else ""
    return LineKey(record.levelno, record.name, _text(record.msg), kind)


def _is_short(value: object) -> bool:
    return isinstance(value, str | int) and value != ""


def _fault(given: object) -> str:
    """The type of the exception in a line's `exc_info`, in any of the forms it may have."""
    if isinstance(given, BaseException):
        return type(given).__name__
    kind = given[0] if isinstance(given, tuple) and given else sys.exc_info()[0]
    return getattr(kind, "__name__", "")


def _text(message: object) -> str:
    """What is compared of a message; addresses, ports and the like are values in any text."""
    try:
        return _NUMBERS.sub("…", str(message)[:MAX_TEXT])
    except Exception:  # noqa: BLE001 - a faulty __str__ must not raise where a line is logged
        return type(message).__name__

"""Logs and counts what goes wrong at the provider: each kind at once, then how often it recurs."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

from relay.metrics import Metrics
from relay.realtime.troubles import Part, Trouble

REPEAT_SECONDS: Final = 10.0
"""Between two lines of one session about the same trouble; what comes meanwhile is counted."""
MAX_KINDS: Final = 32
"""Kinds of trouble that one session remembers; further ones are only counted."""

LINES: Final[dict[Part, str]] = {
    "settings": "engine refused settings",
    "transcription": "transcription failed",
    "response": "answer failed",
    "error": "engine error",
}
"""What the log says, by part."""


class Log(Protocol):
    """A bound logger."""

    def info(self, event: str, **fields: Any) -> Any:
        """Log at info."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Log at warning."""


@dataclass(slots=True)
class _Seen:
    trouble: Trouble
    quiet_until: float
    repeats: int = 0


class TroubleLog:
    """The troubles of one session. Times are seconds of one clock."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log
        self._seen: dict[tuple[str, ...], _Seen] = {}

    def report(self, trouble: Trouble, now: float) -> None:
        """Count it, and log it unless the same was logged a moment ago."""
        self._metrics.engine_trouble(trouble.part, trouble.label)
        key = (trouble.part, trouble.code, trouble.param, trouble.dropped)
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) < MAX_KINDS:
                self._seen[key] = _Seen(trouble, now + REPEAT_SECONDS)
                self._write(trouble, 0)
        elif now < seen.quiet_until:
            seen.repeats += 1
        else:
            repeats, seen.repeats = seen.repeats, 0
            seen.quiet_until = now + REPEAT_SECONDS
            self._write(trouble, repeats)

    def close(self) -> None:
        """Log what recurred since its last line."""
        for seen in self._seen.values():
            if seen.repeats:
                self._write(seen.trouble, seen.repeats)
        self._seen.clear()

    def _write(self, trouble: Trouble, repeats: int) -> None:
        fields: dict[str, Any] = {"code": trouble.code}
        if trouble.param:
            fields["param"] = trouble.param
        if trouble.dropped:
            fields["without"] = trouble.dropped
        if repeats:
            fields["repeats"] = repeats
        write = self._log.info if trouble.is_answer else self._log.warning
        write(LINES[trouble.part], **fields)

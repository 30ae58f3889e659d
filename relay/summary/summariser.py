"""Makes a summary of what was said: the model's where it answers, else an extract that says so."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

import structlog

from relay.realtime.records import Record
from relay.summary.extract import extract
from relay.summary.lines import Line, figures_of, lines_of
from relay.summary.model import ModelFailed
from relay.summary.shapes import FAILED, NO_MODEL, Points, Summary

AT_ONCE: Final = 4
"""Questions to the model at one time; a coach's finger on the button must not cost a fortune."""
log = structlog.get_logger(__name__)


class TooMany(Exception):  # noqa: N818 - it is an outcome, told to who asked
    """As many summaries are being written as may be."""


class Writes(Protocol):
    """A text model (`relay.summary.model.Writer`)."""

    @property
    def model(self) -> str:
        """Its name."""

    async def write(self, lines: Sequence[Line]) -> Points:
        """What it makes of a conversation; raises `ModelFailed`."""


class Summariser:
    """`writer` is None where no model is configured, `clock` gives Unix seconds."""

    def __init__(self, writer: Writes | None, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._clock = clock
        self._writing = 0

    async def summary(
        self, conversation_id: str, session_id: str | None, said: Sequence[Record]
    ) -> Summary:
        """The summary of what was said, in its order; raises `TooMany`."""
        lines, figures = lines_of(said), figures_of(said)
        points, by, model, reason = await self._points(lines)
        return Summary(
            conversation_id=conversation_id,
            session_id=session_id,
            created_at=datetime.fromtimestamp(self._clock(), UTC).isoformat(
                timespec="microseconds"
            ),
            by=by,
            model=model,
            reason=reason,
            text=points.text,
            duration=figures.duration,
            total_interactions=figures.total_interactions,
            ai_responses=figures.ai_responses,
            coach_interventions=figures.coach_interventions,
            main_topics=points.main_topics,
            client_satisfaction=None,
            action_items=points.action_items,
            next_week_goals=points.next_week_goals,
        )

    async def _points(
        self, lines: Sequence[Line]
    ) -> tuple[Points, Literal["model", "extract"], str | None, str | None]:
        if self._writer is None:
            return extract(lines), "extract", None, NO_MODEL
        if not lines:  # nothing was said, so nothing is paid for
            return extract(lines), "extract", None, "nothing was said"
        if self._writing >= AT_ONCE:
            raise TooMany
        self._writing += 1
        try:
            return await self._writer.write(lines), "model", self._writer.model, None
        except ModelFailed as failed:
            log.warning("the text model wrote no summary", reason=str(failed))
            return extract(lines), "extract", None, FAILED
        finally:
            self._writing -= 1

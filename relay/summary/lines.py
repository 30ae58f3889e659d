"""A conversation as summaries read it: who said what was heard, and the figures of it; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from relay.realtime.records import Record

Who = Literal["learner", "model", "coach"]


@dataclass(frozen=True, slots=True)
class Line:
    """What one speaker said, as far as it was heard."""

    who: Who
    text: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted; `duration` in whole seconds."""

    duration: int
    total_interactions: int
    ai_responses: int
    coach_interventions: int


def lines_of(said: Sequence[Record]) -> list[Line]:
    """What was heard, in the order of `said`; an answer that nobody heard is none."""
    lines = []
    for record in said:
        utterance = record.utterance
        by_user = utterance.role == "user"
        text = (utterance.text if by_user else utterance.heard_text).strip()
        if text:
            who: Who = "learner" if by_user else "model" if utterance.coach_id is None else "coach"
            lines.append(Line(who, text))
    return lines


def figures_of(said: Sequence[Record]) -> Figures:
    """The figures; a conversation's duration is that of its sessions, without the time between."""
    lines = lines_of(said)
    return Figures(
        duration=round(sum(_lengths(said).values())),
        total_interactions=len(lines),
        ai_responses=sum(line.who == "model" for line in lines),
        coach_interventions=sum(line.who == "coach" for line in lines),
    )


def _lengths(said: Sequence[Record]) -> dict[str, float]:
    """Seconds from each session's start to the end of its last words."""
    lengths: dict[str, float] = {}
    for record in said:
        head, utterance = record.head, record.utterance
        heard = utterance.heard_ms if utterance.heard_ms is not None else utterance.audio_ms
        over = utterance.created_at + (heard or 0) / 1000
        known = lengths.get(head.session_id, 0.0)
        lengths[head.session_id] = max(known, over - head.started_at)
    return lengths

"""A summary as it is shown and stored."""

from typing import Final, Literal

import msgspec

NO_MODEL: Final = "no text model is configured"
FAILED: Final = "the text model did not answer"
MOST_POINTS: Final = 8
"""Topics, action items or goals of one summary; who reads more reads the transcript."""


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """What was written of a conversation, by a model or by `extract`."""

    text: str
    main_topics: list[str] = []
    action_items: list[str] = []
    next_week_goals: list[str] = []


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation, or one session of it, comes to.

    `by` says who wrote the words: the text `model` that is named, or `extract`, which only chose
    sentences that were said, and then `reason` says why. The figures are counted, never guessed:
    `duration` in whole seconds, `total_interactions` all utterances that were said and heard,
    `ai_responses` those of the model, `coach_interventions` what a coach said in its place.
    `client_satisfaction` is null: nobody measures it. `session_id` is null for a whole
    conversation.
    """

    conversation_id: str
    session_id: str | None
    created_at: str
    by: Literal["model", "extract"]
    model: str | None
    reason: str | None
    text: str
    duration: int
    total_interactions: int
    ai_responses: int
    coach_interventions: int
    main_topics: list[str]
    client_satisfaction: float | None
    action_items: list[str]
    next_week_goals: list[str]
